"""An archive that was written elsewhere: every byte is read and compared before a row is made."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from agency.backup.archive import Hashed
from agency.backup.manifest import NotAnArchive, Piece
from agency.leaving import manifest
from agency.leaving.manifest import Manifest

CHUNK_BYTES = 1 << 20
MANIFEST_MOST = 1 << 28
LINE_MOST = 1 << 26
SAFE = re.compile(r"[A-Za-z0-9_.-]{1,200}(/[A-Za-z0-9_.-]{1,200}){0,8}")
DIGEST = re.compile(r"([0-9a-f]{64})\.[a-z]+")


@dataclass(frozen=True)
class Archive:
    """An opened archive that is whole."""

    tar: tarfile.TarFile
    manifest: Manifest

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of a member; nothing where it is not there. Raises NotAnArchive for a line that is no row."""
        stream = self._stream(name)
        while stream is not None and (line := stream.readline(LINE_MOST)):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as fault:
                raise NotAnArchive(f"{name} holds a line that is no JSON: {fault}") from fault
            if not isinstance(row, dict):
                raise NotAnArchive(f"{name} holds a line that is no row.")
            yield row

    def fact(self, name: str) -> dict[str, Any]:
        """Raises NotAnArchive where the member is not there, or is no JSON object."""
        stream = self._stream(name)
        if stream is None:
            raise NotAnArchive(f"{name} is not in the archive.")
        try:
            said = json.loads(stream.read(MANIFEST_MOST))
        except (ValueError, RecursionError) as fault:
            raise NotAnArchive(f"{name} is no JSON: {fault}") from fault
        if not isinstance(said, dict):
            raise NotAnArchive(f"{name} says nothing.")
        return said

    def chunks(self, name: str) -> Iterator[bytes]:
        stream = self._stream(name)
        while stream is not None and (chunk := stream.read(CHUNK_BYTES)):
            yield chunk

    def files(self, place: str) -> Iterator[tuple[str, str]]:
        """(member, digest that its name says) of the artifacts of a client."""
        for name in self.manifest.pieces:
            folder, _slash, last = name.rpartition("/")
            if folder == f"{place}/files" and (match := DIGEST.fullmatch(last)):
                yield name, match[1]

    def _stream(self, name: str) -> IO[bytes] | None:
        return self.tar.extractfile(name) if name in self.manifest.pieces else None


@contextmanager
def opened(source: Path) -> Iterator[Archive]:
    """Raises NotAnArchive with what is wrong: cut off, changed, with a link or a name that leads out."""
    try:
        with tarfile.open(source, "r:") as tar:
            yield Archive(tar, _checked(tar, source.name))
    except (tarfile.TarError, EOFError) as fault:
        raise NotAnArchive(f"{source.name} is no whole tar: {fault}. It was cut off, or is another file.") from fault


def _checked(tar: tarfile.TarFile, file: str) -> Manifest:
    seen: dict[str, Piece] = {}
    said = b""
    for info in tar:
        stream = tar.extractfile(info) if info.isreg() else None
        if stream is None or not SAFE.fullmatch(info.name) or ".." in info.name or info.name in seen or said:
            raise NotAnArchive(f"{info.name[:80]!r} does not belong into an archive of Retune.")
        if info.name == manifest.NAME:
            said = stream.read(MANIFEST_MOST)
        else:
            seen[info.name] = Piece(sha256=_digest(stream), size=info.size)
    if not said:
        raise NotAnArchive(f"{file} has no manifest: it was cut off, or is no archive of a client.")
    found = manifest.read(said)
    wrong = sorted(n for n in found.pieces.keys() | seen.keys() if found.pieces.get(n) != seen.get(n))
    if wrong:
        raise NotAnArchive(f"{file} is damaged: {', '.join(wrong[:5])}{' and more' if wrong[5:] else ''}")
    return found


def _digest(stream: IO[bytes]) -> str:
    hashed = Hashed(stream)
    while hashed.read(CHUNK_BYTES):
        pass
    return hashed.sha.hexdigest()
