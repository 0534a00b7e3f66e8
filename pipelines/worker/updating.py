"""Taking the program that headquarters offers: only when asked; compared by digest, tried, swapped whole.

Whoever has headquarters has what runs here from then on. So nothing of this happens by itself: a person runs `update`,
or has started the program with `--update`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.worker.link import Link

PATIENCE_S = 120.0


class NotTaken(RuntimeError):
    """The offered program was left alone; the sentence says why. The one that runs stays."""


@cache
def digest_of_mine() -> str:
    """Of the file that this program was started from; empty beside an installation."""
    place = _mine()
    return hashlib.sha256(place.read_bytes()).hexdigest() if place else ""


def _mine() -> Path | None:
    place = Path(sys.argv[0]).resolve()
    return place if place.is_file() and zipfile.is_zipfile(place) else None


def is_other(offer: Mapping[str, Any] | None) -> bool:
    """Whether headquarters offers another file than the one that runs here."""
    return bool(offer and digest_of_mine() and offer["digest"] != digest_of_mine())


def take(link: Link, stop: Callable[[], bool]) -> Path:
    """Puts the offered file in the place of the one that runs; gives where that one is kept.

    Raises NotTaken, OSError, and what `link.ask` raises.
    """
    place = _mine()
    if place is None:
        raise NotTaken("This program does not run from one file: update the installation that it belongs to.")
    answer = link.ask("GET", link.machine("program"), stop)
    body, told = answer.body, {name.lower(): value for name, value in answer.headers.items()}
    if hashlib.sha256(body).hexdigest() != told.get("x-retune-digest"):
        raise NotTaken("What came is not the file that was announced.")
    lacking = list(_lacking(body))
    if lacking:
        raise NotTaken(f"It needs other packages first: pip install {' '.join(lacking)}")
    draft = place.with_name(f".{place.name}.new")
    draft.write_bytes(body)
    draft.chmod(place.stat().st_mode & 0o777)
    _try(draft)
    before = place.with_name(f"{place.name}.before")
    before.write_bytes(place.read_bytes())
    before.chmod(place.stat().st_mode & 0o777)
    draft.replace(place)
    return before


def _try(draft: Path) -> None:
    """It must start on this machine before anything is swapped."""
    command = [sys.executable, str(draft), "version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        why = "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2][:300]
    except subprocess.TimeoutExpired:
        done, why = None, f"no answer in {PATIENCE_S:g} s"
    if done is None or done.returncode:
        draft.unlink(missing_ok=True)
        raise NotTaken(f"It does not start here: {why}")


def _lacking(body: bytes) -> Iterator[str]:
    """Packages that are not here as the offered program pins them."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/requirements.txt"))
        lines = archive.read(name).decode().split()
    for line in lines:
        wanted, _, version = line.partition("==")
        try:
            here = metadata.version(re.split(r"\[", wanted)[0])
        except metadata.PackageNotFoundError:
            here = ""
        if not here or (version and here.partition("+")[0] != version):
            yield line


def once(link: Link) -> str:
    """What `update` says when it is through. Raises NotTaken, OSError, Unknown and Refused."""
    before = take(link, lambda: False)
    return f"Taken. The program of before lies at {before}. Restart this one to run the new one."


def restart() -> None:
    """This process becomes the new program, with the same arguments and environment."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
