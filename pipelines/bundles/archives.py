"""A bundle's entries one after the other, whatever it is packed as: nothing is believed, everything is counted."""

from __future__ import annotations

import errno
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipelines.bundles.names import BundleRefused

CHUNK_BYTES = 1 << 20
ENCRYPTED = 0x1
BRING = "Bring a GGUF file, or a tar or zip of the model's folder."
# gzip and bz2 raise an OSError without a number.
DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError,
    ValueError, OverflowError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How large a bundle may be once it is unpacked, and of how many files."""

    total_bytes: int = 64 * 2**30
    files: int = 2_000


@dataclass(frozen=True)
class Entry:
    """A file of a bundle, open for reading until the next one is asked for."""

    name: str
    body: IO[bytes]


def entries(source: Path, limits: Limits) -> Iterator[Entry]:
    """Every plain file. BundleRefused for links, devices, damage, and more files than there may be."""
    for count, entry in enumerate(_opened(source), start=1):
        if count > limits.files:
            raise BundleRefused(f"The bundle holds more than {limits.files} files. Pack the model's own files only.")
        yield entry


def _opened(source: Path) -> Iterator[Entry]:
    if source.is_dir():
        return _of_folder(source)
    with source.open("rb") as file:
        magic = file.read(4)
    if magic == b"GGUF":
        return _of_file(source)
    return _of_zip(source) if magic == b"PK\x03\x04" else _of_tar(source)


def _of_file(source: Path) -> Iterator[Entry]:
    with source.open("rb") as body:
        yield Entry("model.gguf", body)


def _of_folder(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.rglob("*")):
        name, mode = str(path.relative_to(folder)), path.lstat().st_mode
        if stat.S_ISREG(mode):
            with _no_link(path) as body:
                yield Entry(name, body)
        elif not stat.S_ISDIR(mode):
            raise _special(name)


@contextmanager
def _no_link(path: Path) -> Iterator[IO[bytes]]:
    """Opened so that what was a file a moment ago and is a link now is refused by the system."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as body:
        yield body


def _of_tar(source: Path) -> Iterator[Entry]:
    with tarfile.open(source, "r|*") as tar:
        for member in tar:
            body = tar.extractfile(member) if member.isreg() and not member.issparse() else None
            if body is not None:
                yield Entry(member.name, body)
            elif not member.isdir():
                raise _special(member.name)


def _of_zip(source: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _special(member.filename)
            if member.flag_bits & ENCRYPTED:
                raise BundleRefused(f"{member.filename} is encrypted. Pack the bundle without a password.")
            if not member.is_dir():
                with archive.open(member) as body:
                    yield Entry(member.filename, body)


def _special(name: str) -> BundleRefused:
    return BundleRefused(f"{name} is a link, a device or the like. Pack plain files only (tar: --dereference).")


@contextmanager
def readable() -> Iterator[None]:
    """What unpacking raises for damage, as BundleRefused; a full disk stays what it is."""
    try:
        yield
    except BundleRefused:
        raise
    except DAMAGE as fault:
        raise BundleRefused(f"The bundle does not unpack ({fault}). {BRING}") from fault
    except OSError as fault:
        if fault.errno is None or fault.errno == errno.ELOOP:
            raise BundleRefused(f"The bundle does not unpack ({fault}). {BRING}") from fault
        raise
