"""`python3 retune-agent.pyz`, or `python -m agency.agent` beside an installation."""

import sys

from agency.agent.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
