"""A tar that is made as it is read: members of any size in a few megabytes of memory, every byte hashed."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

from agency.backup.manifest import Piece

CHUNK_BYTES = 1 << 20
BLOCK = tarfile.BLOCKSIZE


class Changed(RuntimeError):
    """A file became shorter or longer while it was being written out: begin again."""


@dataclass
class Tar:
    """`pieces`: what is in it so far. Whoever reads the bytes decides how fast it is made."""

    now: datetime
    pieces: dict[str, Piece] = field(default_factory=dict)

    def text(self, name: str, text: str) -> Iterator[bytes]:
        body = text.encode()
        return self._member(name, len(body), iter([body]))

    def lines(self, name: str, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Through a file without a name: a member's length is told before its bytes."""
        with tempfile.TemporaryFile() as draft:
            for line in lines:
                draft.write(line)
            size = draft.tell()
            draft.seek(0)
            yield from self._member(name, size, _chunks(draft))

    def file(self, name: str, path: Path) -> Iterator[bytes]:
        with path.open("rb") as stream:
            yield from self._member(name, path.stat().st_size, _chunks(stream))

    def end(self) -> Iterator[bytes]:
        yield bytes(2 * BLOCK)

    def _member(self, name: str, size: int, body: Iterator[bytes]) -> Iterator[bytes]:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, int(self.now.timestamp()), 0o644
        yield info.tobuf(tarfile.PAX_FORMAT)
        sha, written = hashlib.sha256(), 0
        for chunk in body:
            sha.update(chunk)
            written += len(chunk)
            yield chunk
        if written != size:
            raise Changed(f"{name} changed while it was written out. Export again.")
        yield bytes(-size % BLOCK)
        self.pieces[name] = Piece(sha256=sha.hexdigest(), size=size)


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: stream.read(CHUNK_BYTES), b"")
