"""`python -m tools.make_agent OUT`: packs retune-agent into one file, which runs with the Python of any machine."""

from __future__ import annotations

import sys
from pathlib import Path

from agency.machines.programs import AGENT, pack

if __name__ == "__main__":
    pack(Path(sys.argv[1]), AGENT)
    print(f"{sys.argv[1]}: {Path(sys.argv[1]).stat().st_size / 1000:.0f} kB")
