"""The content-addressed store: `clients/<id>/sha256/<aa>/<digest>`.

Whole or absent, and checked before it is trusted. With an object store behind it the folder is a cache of that.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from pipelines.artifacts.remote import Remote, remote_of
from pipelines.tars import pack, unpack

CHUNK_BYTES = 1 << 20
DIGEST_CHARS = 64
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


def damaged(store: Store, digest: str) -> ArtifactDamaged:
    """Why an artifact that was just read has other bytes than its name says. What a bucket can mend is mended."""
    try:
        store.verified(digest)
    except ArtifactDamaged as why:
        return why
    return ArtifactDamaged(f"Artifact {digest[:12]} was damaged on this machine. It is fetched anew: start again.")


@dataclass(frozen=True)
class Cached:
    digest: str
    size_bytes: int
    used_at: datetime


@dataclass(frozen=True)
class Store:
    """One client's artifacts."""

    root: Path
    remote: Remote | None = None

    def path(self, digest: str) -> Path:
        """Where the bytes lie; raises `ArtifactMissing`. Not yet checked: see `verified`."""
        path = self._place(digest)
        if path.is_file():
            _note_use(path)
        elif not self._fetched(digest):
            raise _missing(digest)
        return path

    def verified(self, digest: str) -> Path:
        """The path, after reading every byte: what a host is sent is what was judged."""
        path = self.path(digest)
        is_whole = digest_of(path) == digest
        if not is_whole and self.remote is not None:
            # The cache was damaged: what the object store has is the truth.
            path.unlink()
            is_whole = self._fetched(digest) and digest_of(path) == digest
        if not is_whole:
            raise ArtifactDamaged(
                f"Artifact {digest[:12]} is damaged on disk. Restore it from a backup before it is used."
            )
        return path

    @contextmanager
    def read_once(self, digest: str) -> Iterator[Path]:
        """The path, for as long as it is open: what lay in the object store only leaves nothing behind here.

        Raises like `path`, and `ArtifactDamaged` where the object store has other bytes.
        """
        if self.remote is None or self._place(digest).is_file():
            yield self.path(digest)
            return
        copy = self._draft()
        if not self._fetched(digest, copy):
            raise _missing(digest)
        try:
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def check(self, digest: str) -> None:
        """Reads every byte, and leaves nothing here that was not here. Raises like `verified`."""
        with self.read_once(digest) as path:
            if path == self._place(digest):
                self.verified(digest)

    def has(self, digest: str) -> bool:
        return self._place(digest).is_file() or (self.remote is not None and self.remote.has(_key(digest)))

    def has_all(self, digests: Iterable[str]) -> bool:
        return all(self.has(digest) for digest in digests)

    def listed(self) -> Iterator[tuple[str, datetime]]:
        """(digest, when it was put) of everything that is kept. Files that tell about an artifact are not."""
        seen = set()
        for path in (self.root / "sha256").glob("??/*"):
            if len(path.name) == DIGEST_CHARS:
                seen.add(path.name)
                yield path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC)
        for key, at in self.remote.keys("sha256") if self.remote else ():
            digest = key.rpartition("/")[2]
            if len(digest) == DIGEST_CHARS and digest not in seen:
                yield digest, at

    def remove(self, digest: str) -> int:
        """Takes an artifact away, with what tells about it. Gives the bytes freed here. For retention only."""
        size = self._emptied(digest)
        if self.remote is not None:
            self.remote.remove(_key(digest))
        return size

    def cached(self) -> Iterator[Cached]:
        """What lies here of an object store; nothing where the folder is all there is."""
        for path in (self.root / "sha256").glob("??/*") if self.remote is not None else ():
            if len(path.name) == DIGEST_CHARS:
                with suppress(FileNotFoundError):  # Another process of this machine sweeps too.
                    facts = path.stat()
                    yield Cached(path.name, facts.st_size, datetime.fromtimestamp(facts.st_atime, UTC))

    def drop(self, digest: str) -> int:
        """Takes a copy out of the cache; the object store keeps it. Gives the bytes freed, 0 where it has no other."""
        if self.remote is None or not self.remote.has(_key(digest)):
            return 0
        return _removed(self._place(digest))

    def drop_removed(self, digest: str) -> int:
        """The same for a copy of what was removed elsewhere: that one goes for good, unless it was put again since."""
        if self.remote is None or self.remote.has(_key(digest)):
            return 0
        return self._emptied(digest)

    def sweep(self, before: datetime) -> int:
        """Removes drafts of before: a worker that was killed could not. Gives how many."""
        gone = 0
        for path in (self.root / "incoming").glob("*"):
            with suppress(FileNotFoundError):  # It has just got its name.
                if path.stat().st_mtime < before.timestamp():
                    path.unlink()
                    gone += 1
        return gone

    def clear(self) -> None:
        """Takes everything away: for a corner whose job is over."""
        for digest, _at in list(self.listed()):
            self.remove(digest)
        shutil.rmtree(self.root, ignore_errors=True)

    def put_file(self, source: Path) -> str:
        """Copies a file in and returns its digest. Written under a temporary name, fsynced, renamed: never half."""
        with source.open("rb") as stream:
            return self._put(iter(lambda: stream.read(CHUNK_BYTES), b""))

    def put_chunks(self, chunks: Iterable[bytes]) -> str:
        """Streams bytes in as they come."""
        return self._put(chunks)

    def put_bytes(self, body: bytes) -> str:
        return self._put([body])

    def put_lines(self, lines: Iterable[bytes]) -> str:
        """Streams lines in, each with its newline."""
        return self._put(line + b"\n" for line in lines)

    def put_beside(self, digest: str, suffix: str, body: bytes) -> Path:
        """A file that tells about an artifact, under its name; rewritten whole whenever there is more to tell."""
        place = self._place(digest).with_name(f"{digest}.{suffix}")
        with self._drafted() as draft:
            draft.write_bytes(body)
            if self.remote is not None:
                self.remote.upload(draft, f"{_key(digest)}.{suffix}")
            place.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(place)
        return place

    def put_folder(self, folder: Path) -> str:
        """A folder as one tar with fixed owners and times, so that the same content gives the same digest."""
        with self._drafted() as draft:
            pack(folder, draft)
            return self.put_file(draft)

    def unpack_folder(self, digest: str, folder: Path) -> Path:
        unpack(self.verified(digest), folder)
        return folder

    def _place(self, digest: str) -> Path:
        return self.root / "sha256" / digest[:2] / digest

    def _emptied(self, digest: str) -> int:
        """Takes the bytes that lie here, and what tells about them. Gives how many."""
        return sum(_removed(path) for path in self._place(digest).parent.glob(f"{digest}*"))

    def _fetched(self, digest: str, to: Path | None = None) -> bool:
        """Whether it came from the object store: whole, into its place or `to`, or not at all.

        Into its place once: whoever asks meanwhile waits for it.
        """
        if self.remote is None or not self.remote.has(_key(digest)):
            return False
        place = to or self._place(digest)
        with self._drafted() as draft, nullcontext() if to else self._alone(digest):
            if place.is_file():
                return True
            self.remote.download(_key(digest), draft)
            if digest_of(draft) != digest:
                raise ArtifactDamaged(f"Artifact {digest[:12]} is damaged in the object store. Restore it there.")
            place.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(place)
        return True

    @contextmanager
    def _alone(self, digest: str) -> Iterator[None]:
        """One thread of this machine at a time. Its file goes with it: who waited looks whether there is still work."""
        place = self.root / "incoming" / f"{digest}.lock"
        with place.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                place.unlink(missing_ok=True)

    def _draft(self) -> Path:
        return self.root / "incoming" / f"{os.getpid()}-{uuid4().hex}"

    @contextmanager
    def _drafted(self) -> Iterator[Path]:
        """A name for a file in the making; whatever is left under it is removed. A full disk is `StoreFull`."""
        draft = self._draft()
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            yield draft
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StoreFull(
                    f"No room for an artifact in {self.root}: free some disk space, then start again."
                ) from error
            raise
        finally:
            draft.unlink(missing_ok=True)

    def _put(self, chunks: Iterable[bytes]) -> str:
        sha = hashlib.sha256()
        with self._drafted() as draft:
            with draft.open("wb") as out:
                for chunk in chunks:
                    sha.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            if self.remote is not None and not self.remote.has(_key(sha.hexdigest())):
                self.remote.upload(draft, _key(sha.hexdigest()))
            place = self._place(sha.hexdigest())
            place.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(place)
        return sha.hexdigest()


def _missing(digest: str) -> ArtifactMissing:
    return ArtifactMissing(
        f"Artifact {digest[:12]} is not in the store. Restore it from a backup or build the version again."
    )


def _removed(path: Path) -> int:
    """The bytes freed: none where another process was first."""
    with suppress(FileNotFoundError):
        size = path.stat().st_size
        path.unlink()
        return size
    return 0


def _note_use(path: Path) -> None:
    """Written down by us: file systems are often mounted so that they do not. The time of change stays."""
    facts = path.stat()
    os.utime(path, ns=(time.time_ns(), facts.st_mtime_ns))


def _key(digest: str) -> str:
    return f"sha256/{digest[:2]}/{digest}"


def store_of(client_id: int) -> Store:
    return _store(f"clients/{client_id}")


def parts_of(client_id: int, job_id: int) -> Store:
    """A job's own corner, for what a machine hands in: what is said to be there never meets an artifact."""
    return _store(f"handed/{client_id}/{job_id}")


def _store(folder: str) -> Store:
    return Store(Path(settings.ARTIFACTS) / folder, remote_of(folder))


def scratch_of(job_id: int) -> Path:
    """A job's private folder; the same for every attempt, so that a checkpoint is found again."""
    folder = Path(settings.SCRATCH) / f"job-{job_id}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def wipe_scratch(job_id: int) -> None:
    shutil.rmtree(Path(settings.SCRATCH) / f"job-{job_id}", ignore_errors=True)
