"""`python -m tools.make_worker OUT`: packs retune-worker into one file, which runs with the Python of any machine."""

from __future__ import annotations

import sys
from pathlib import Path

from agency.machines.programs import WORKER, pack

if __name__ == "__main__":
    pack(Path(sys.argv[1]), WORKER)
    print(f"{sys.argv[1]}: {Path(sys.argv[1]).stat().st_size / 1000:.0f} kB")
