"""A file on its way to the host: fetched in pieces, gone on with after any end, and hashed before it goes in."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.worker.link import Link, Stopped

SPARE_BYTES = 256 * 2**20
# What nobody came back for in this time was given up.
KEPT_S = 3 * 24 * 3600.0
CHUNK_BYTES = 1 << 20
LOOK_S = 0.2

Tell = Callable[[int], None]
Stop = Callable[[], bool]


class Damaged(ValueError):
    """What arrived is not what was announced: nothing of it goes to the host."""


class NoSpace(OSError):
    """The file and some room for the host do not fit on this disk."""


@dataclass
class Files:
    """Guarantees: a byte that arrived is not asked for again, and a file lies here once, whoever asks for it.

    A file is kept by its digest until the host has it, across restarts of the program. `is_host_here`: the host writes
    its own copy on this machine.
    """

    folder: Path
    is_host_here: bool = False
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.forget_old()

    @contextmanager
    def alone_with(self, digest: str, stop: Stop) -> Iterator[Path]:
        """Where the file lies or will lie, for one hand at a time. Raises Stopped."""
        lock = self._lock_of(digest)
        while not lock.acquire(timeout=LOOK_S):
            if stop():
                raise Stopped
        try:
            yield self.folder / digest
        finally:
            lock.release()

    def room_for(self, size_bytes: int, place: Path) -> None:
        """Raises NoSpace. What is left of other files goes first, for the host's copy too where that may lie here."""
        wanted = size_bytes + SPARE_BYTES - (place.stat().st_size if place.exists() else 0)
        if self._free() < wanted + (size_bytes if self.is_host_here else 0):
            self.forget_others(place)
        if self._free() < wanted:
            raise NoSpace(f"no space left beside the host for {size_bytes} bytes on their way")

    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free

    def forget_old(self) -> None:
        for place in self.folder.iterdir():
            self._forget(place, KEPT_S)

    def forget_others(self, than: Path) -> None:
        for place in self.folder.iterdir():
            if place != than:
                self._forget(place, 0.0)

    def _forget(self, place: Path, within_s: float) -> None:
        """Never what a hand is at."""
        lock = self._lock_of(place.name)
        if lock.acquire(blocking=False):
            with suppress(FileNotFoundError):
                if time.time() - place.stat().st_mtime >= within_s:
                    place.unlink()
            lock.release()

    def _lock_of(self, digest: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(digest, threading.Lock())


def fetched(link: Link, told: Mapping[str, Any], to: Path, stop: Stop, tell: Tell) -> None:
    """The whole file at `to`; what lies there is its beginning. `tell`: bytes that are here, now and then.

    Raises Damaged, OSError, Stopped, and Refused where nobody waits for it any more.
    """
    size = int(told["size_bytes"])
    with open(os.open(to, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        digest = hashlib.sha256()
        here = _hashed(file, digest, stop)
        while here < size:
            tell(here)
            if stop():
                raise Stopped
            answer = link.ask("GET", link.url + told["url"], stop, None, {"Range": f"bytes={here}-"})
            if not answer.body or here + len(answer.body) > size:
                raise Damaged("more or fewer bytes came than were announced")
            file.write(answer.body)
            file.flush()
            digest.update(answer.body)
            here += len(answer.body)
    if here != size or digest.hexdigest() != told["digest"]:
        raise Damaged(f"expected {told['digest'][:12]}, got {digest.hexdigest()[:12]}")
    tell(size)


def _hashed(file: Any, digest: Any, stop: Stop) -> int:
    """How many bytes lie there from before."""
    here = 0
    while chunk := file.read(CHUNK_BYTES):
        if stop():
            raise Stopped
        digest.update(chunk)
        here += len(chunk)
    return here
