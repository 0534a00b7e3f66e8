"""`python tools/step.py WHAT COMMAND...`: runs a step of the set-up and shows how far it is.

On a terminal a bar, by pip's `--progress-bar raw` where a file is fetched; else a line when it begins and one when it
ends. The command's own output comes only if it fails. Needs nothing but Python: it runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
BAR, NOTE, BUSY = 24, 60, 5
REDRAW_S = 0.2


@dataclass
class Step:
    """`share` of the file that is being fetched; None while nobody knows how much is left."""

    what: str
    lines: list[str] = field(default_factory=list)
    share: float | None = None

    def take(self, line: str) -> None:
        found = PROGRESS.match(line.strip())
        if found is None:
            self.share = None
            self.lines.append(line)
        elif int(found[2]):
            self.share = min(int(found[1]) / int(found[2]), 1.0)

    def follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.take(line)

    def drawn(self, seconds: float) -> str:
        note = next((line.strip() for line in reversed(self.lines) if line.strip()), "")
        return f"{self.what}  [{self._bar(seconds)}] {seconds // 60:.0f}:{seconds % 60:02.0f}  {note[:NOTE]}"

    def _bar(self, seconds: float) -> str:
        if self.share is not None:
            return ("#" * round(self.share * BAR)).ljust(BAR, ".")
        at = round(seconds / REDRAW_S) % (BAR - BUSY + 1)
        return "." * at + "#" * BUSY + "." * (BAR - BUSY - at)


def main(arguments: list[str]) -> int:
    what, *command = arguments
    step, began, is_terminal = Step(what), time.monotonic(), sys.stdout.isatty()
    print(f"{what} ...", end="\r" if is_terminal else "\n", flush=True)
    own = os.environ | {"PYTHONUNBUFFERED": "1"}  # pip keeps its lines back from a pipe.
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=own
    )
    reader = threading.Thread(target=step.follow, args=(child.stdout or (),), daemon=True)
    reader.start()
    while reader.is_alive():
        reader.join(REDRAW_S)
        if is_terminal:
            print(f"\r\x1b[K{step.drawn(time.monotonic() - began)}", end="", flush=True)
    code = child.wait()
    end = "\r\x1b[K" if is_terminal else ""
    print(f"{end}{what}: {'done' if code == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s", flush=True)
    if code != 0:
        sys.stderr.write("".join(step.lines))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
