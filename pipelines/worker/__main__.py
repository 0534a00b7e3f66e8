"""`python3 retune-worker.pyz`, or `python -m pipelines.worker` beside an installation."""

import sys

from pipelines.worker.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
