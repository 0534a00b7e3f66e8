"""A folder as one tar, and back: what the store keeps of a folder and what machines are sent."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path


class BadTar(ValueError):
    """A tar that no folder of ours was packed into; nothing of it is used."""

    permanent = True


def pack(folder: Path, to: Path) -> None:
    """Fixed owners and times: the same content is the same file."""
    with tarfile.open(to, "w") as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            tar.add(path, arcname=str(path.relative_to(folder)), filter=_plain)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o644
    return info


def unpack(source: Path, folder: Path) -> None:
    """Regular files inside `folder`, as `pack` takes them; anything else raises BadTar.

    The filters of `tarfile` came with Python 3.11.4: this needs none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(source, "r:") as tar:
        for info in tar:
            place, body = folder / info.name, tar.extractfile(info) if info.isfile() else None
            if body is None or folder.resolve() not in place.resolve().parents:
                raise BadTar(f"{info.name!r} in {source.name} is no file inside its folder.")
            place.parent.mkdir(parents=True, exist_ok=True)
            with body, place.open("wb") as out:
                shutil.copyfileobj(body, out)
