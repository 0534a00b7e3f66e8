"""The migrated SQLite file of the tests, made once for each state of the migrations and copied from then on."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = 3


def template() -> Path:
    """Named by what could change it: every migration, what they call, and the versions of what others migrate."""
    sources = sorted([*ROOT.glob("*/migrations/*.py"), *ROOT.glob("tenants/postgresql/*.py"), ROOT / "constraints.txt"])
    seen = hashlib.sha256()
    for path in sources:
        seen.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return ROOT / ".pytest_cache" / f"migrated-{seen.hexdigest()[:16]}.sqlite3"


def take(to: Path) -> bool:
    """Whether there was one to copy."""
    try:
        shutil.copyfile(template(), to)
    except FileNotFoundError:
        return False
    return True


def keep(made: Path) -> None:
    """Whole or not at all: several test processes may make it at once."""
    to = template()
    if to.exists():
        return
    to.parent.mkdir(exist_ok=True)
    part = to.with_suffix(f".{os.getpid()}")
    with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(part)) as copy:
        source.backup(copy)  # What still lies in the write-ahead log comes along.
    part.rename(to)
    for old in sorted(to.parent.glob("migrated-*.sqlite3"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)
