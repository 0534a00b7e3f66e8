"""Writing an archive beside a running installation, reading every byte of one, and restoring it into an empty one."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO

from agency.backup import databases, manifest
from agency.backup.manifest import Manifest, NotAnArchive, Piece
from pipelines.artifacts import ArtifactMissing, Store, damaged, store_of
from tenants import crossing

CHUNK_BYTES = 1 << 20
MANIFEST_MOST = 1 << 28
MANIFEST, DATABASE = "manifest.json", "database"
ARTIFACT = re.compile(r"artifacts/([1-9][0-9]{0,18})/([0-9a-f]{64})")


@dataclass
class Writer:
    """A tar in the making, and what is in it so far."""

    tar: tarfile.TarFile
    now: datetime
    pieces: dict[str, Piece] = field(default_factory=dict)

    def add(self, name: str, path: Path) -> str:
        """Streams a file in, and gives the digest of the bytes that went in."""
        with path.open("rb") as stream:
            info = self._named(name, path.stat().st_size)
            hashed = Hashed(stream)
            self.tar.addfile(info, hashed)
        self.pieces[name] = Piece(sha256=hashed.sha.hexdigest(), size=info.size)
        return self.pieces[name].sha256

    def add_bytes(self, name: str, body: bytes) -> None:
        self.tar.addfile(self._named(name, len(body)), BytesIO(body))

    def _named(self, name: str, size: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, int(self.now.timestamp()), 0o600
        return info


class Hashed:
    """A stream that hashes what is read from it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.sha = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self.sha.update(chunk)
        return chunk


def write(out: Path, now: datetime) -> Manifest:
    """One archive of everything. Whole or absent: it gets its name when its last byte is on disk.

    Artifacts come before the database, and once more after it: whatever the database of that moment names is there.
    Raises CannotCopy, ArtifactDamaged (an artifact whose bytes are not what its name says), StoreFull and OSError.
    """
    draft, copy = out.with_name(f"{out.name}.partial"), out.with_name(f"{out.name}.database")
    try:
        with draft.open("wb") as raw, tarfile.open(fileobj=raw, mode="w") as tar:
            draft.chmod(0o600)
            writer = Writer(tar, now)
            _add_artifacts(writer)
            heads = manifest.heads()
            kind = databases.dump(copy)
            writer.add(DATABASE, copy)
            _add_artifacts(writer)
            found = manifest.describe(kind, heads, writer.pieces, now)
            writer.add_bytes(MANIFEST, found.model_dump_json(indent=1).encode())
        _sync(draft)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)
    return found


def check(source: Path) -> Manifest:
    """Reads every byte. Raises NotAnArchive with what is wrong."""
    seen: dict[str, Piece] = {}
    said = b""
    with _opened(source) as tar:
        for name, size, stream in _members(tar):
            if name == MANIFEST:
                said = stream.read(MANIFEST_MOST)
            else:
                seen[name] = Piece(sha256=_digest(stream), size=size)
    if not said:
        raise NotAnArchive(f"{source.name} has no manifest: it was cut off, or is no archive of Retune.")
    found = manifest.read(said)
    wrong = sorted(name for name in found.pieces.keys() | seen.keys() if found.pieces.get(name) != seen.get(name))
    wrong += sorted(name for name, piece in seen.items() if name != DATABASE and not name.endswith(piece.sha256))
    if wrong:
        raise NotAnArchive(f"{source.name} is damaged: {', '.join(wrong[:5])}{' and more' if wrong[5:] else ''}")
    if DATABASE not in seen:
        raise NotAnArchive(f"{source.name} has no database in it.")
    return found


def restore(source: Path, found: Manifest, scratch: Path) -> None:
    """Artifacts first, then the database: what was broken off left no database, and is simply done again.

    `found` is what `check` gave; `scratch` is a folder on the database's own disk.
    """
    copy = scratch / ".restored-database"
    try:
        with _opened(source) as tar:
            for name, _size, stream in _members(tar):
                if match := ARTIFACT.fullmatch(name):
                    _put(store_of(int(match[1])), match[2], stream)
                elif name == DATABASE:
                    _copy(stream, copy)
        databases.load(copy)
    finally:
        copy.unlink(missing_ok=True)


def missing(found: Manifest) -> list[str]:
    """Artifacts of the archive that are not in the stores after a restore."""
    parts = (ARTIFACT.fullmatch(name) for name in found.pieces)
    return [part[0] for part in parts if part and not store_of(int(part[1])).has(part[2])]


def _add_artifacts(writer: Writer) -> None:
    """What is not in the archive yet. What retention takes away meanwhile is not in the database either."""
    for _agency_id, client_id in crossing.ask("all_clients"):
        store = store_of(client_id)
        for digest, _at in list(store.listed()):
            name = f"artifacts/{client_id}/{digest}"
            if name not in writer.pieces:
                # Without a trace: a bucket may hold far more than this machine's disk.
                with suppress(ArtifactMissing), store.read_once(digest) as path:
                    if writer.add(name, path) != digest:
                        raise damaged(store, digest)


def _put(store: Store, digest: str, stream: IO[bytes]) -> None:
    if not store.has(digest):
        store.put_chunks(iter(lambda: stream.read(CHUNK_BYTES), b""))


def _copy(stream: IO[bytes], place: Path) -> None:
    with place.open("wb") as out:
        place.chmod(0o600)
        while chunk := stream.read(CHUNK_BYTES):
            out.write(chunk)
    _sync(place)


def _digest(stream: IO[bytes]) -> str:
    hashed = Hashed(stream)
    while hashed.read(CHUNK_BYTES):
        pass
    return hashed.sha.hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(source, "r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError) as fault:
        raise NotAnArchive(f"{source.name} is no whole tar: {fault}. It was cut off, or is another file.") from fault


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(name, bytes, stream). Only names that an archive of ours has; nothing is ever unpacked by its name."""
    for info in tar:
        stream = tar.extractfile(info) if info.isreg() else None
        if stream is None or not (info.name in (MANIFEST, DATABASE) or ARTIFACT.fullmatch(info.name)):
            raise NotAnArchive(f"{info.name[:80]!r} does not belong into an archive of Retune.")
        yield info.name, info.size, stream
