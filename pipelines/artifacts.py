"""The content-addressed store: `clients/<id>/sha256/<aa>/<digest>`.

Whole or absent, and checked before it is trusted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from django.conf import settings

CHUNK_BYTES = 1 << 20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ArtifactDamaged(RuntimeError):
    """The bytes on disk are not those that were stored."""

    permanent = True


class StoreFull(RuntimeError):
    """The disk has no room for an artifact; nothing of it is left behind."""

    permanent = True


class ArtifactMissing(RuntimeError):
    """No such artifact; retention may have removed it."""

    permanent = True


def digest_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Store:
    """One client's artifacts."""

    root: Path

    def path(self, digest: str) -> Path:
        """Where the bytes lie; raises `ArtifactMissing`. Not yet checked: see `verified`."""
        path = self._place(digest)
        if not path.is_file():
            raise ArtifactMissing(
                f"Artifact {digest[:12]} is not in the store. Restore it from a backup or build the version again."
            )
        return path

    def verified(self, digest: str) -> Path:
        """The path, after reading every byte: what a host is sent is what was judged."""
        path = self.path(digest)
        if digest_of(path) != digest:
            raise ArtifactDamaged(
                f"Artifact {digest[:12]} is damaged on disk. Restore it from a backup before it is used."
            )
        return path

    def has(self, digest: str) -> bool:
        return self._place(digest).is_file()

    def put_file(self, source: Path) -> str:
        """Copies a file in and returns its digest. Written under a temporary name, fsynced, renamed: never half."""
        with source.open("rb") as stream:
            return self._put(iter(lambda: stream.read(CHUNK_BYTES), b""))

    def put_bytes(self, body: bytes) -> str:
        return self._put([body])

    def put_lines(self, lines: Iterable[bytes]) -> str:
        """Streams lines in, each with its newline."""
        return self._put(line + b"\n" for line in lines)

    def put_beside(self, digest: str, suffix: str, body: bytes) -> Path:
        """A file that tells about an artifact, under its name; rewritten whole whenever there is more to tell."""
        draft, place = self._draft(), self._place(digest).with_name(f"{digest}.{suffix}")
        draft.write_bytes(body)
        draft.replace(place)
        return place

    def put_folder(self, folder: Path) -> str:
        """A folder as one tar with fixed owners and times, so that the same content gives the same digest."""
        draft = self._draft()
        with tarfile.open(draft, "w") as tar:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                tar.add(path, arcname=str(path.relative_to(folder)), filter=_plain)
        try:
            return self.put_file(draft)
        finally:
            draft.unlink(missing_ok=True)

    def unpack_folder(self, digest: str, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(self.verified(digest)) as tar:
            tar.extractall(folder, filter="data")
        return folder

    def _place(self, digest: str) -> Path:
        return self.root / "sha256" / digest[:2] / digest

    def _draft(self) -> Path:
        folder = self.root / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{os.getpid()}-{uuid4().hex}"

    def _put(self, chunks: Iterable[bytes]) -> str:
        draft, sha = self._draft(), hashlib.sha256()
        try:
            with draft.open("wb") as out:
                for chunk in chunks:
                    sha.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            place = self._place(sha.hexdigest())
            place.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(place)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StoreFull(
                    f"No room for an artifact in {self.root}: free some disk space, then start again."
                ) from error
            raise
        finally:
            draft.unlink(missing_ok=True)
        return sha.hexdigest()


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o644
    return info


def store_of(client_id: int) -> Store:
    return Store(Path(settings.ARTIFACTS) / "clients" / str(client_id))


def scratch_of(job_id: int) -> Path:
    """A job's private folder; the same for every attempt, so that a checkpoint is found again."""
    folder = Path(settings.SCRATCH) / f"job-{job_id}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def wipe_scratch(job_id: int) -> None:
    shutil.rmtree(Path(settings.SCRATCH) / f"job-{job_id}", ignore_errors=True)
