"""A file on its way to the host: fetched in pieces, gone on with where a link was cut, and hashed before it goes in."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.worker.link import Link, Stopped

SPARE_BYTES = 256 * 2**20


class Damaged(ValueError):
    """What arrived is not what was announced: nothing of it goes to the host."""


def fetched(link: Link, told: Mapping[str, Any], to: Path, stop: Callable[[], bool]) -> None:
    """The whole file at `to`. Raises Damaged, OSError, Stopped, and Refused where nobody waits for it any more."""
    size = int(told["size_bytes"])
    if shutil.disk_usage(to.parent).free < size + SPARE_BYTES:
        raise OSError(f"no space left beside the host for {size} bytes")
    digest, here = hashlib.sha256(), 0
    with to.open("wb") as file:
        while here < size:
            if stop():
                raise Stopped
            answer = link.ask("GET", link.url + told["url"], stop, None, {"Range": f"bytes={here}-"})
            if not answer.body or here + len(answer.body) > size:
                raise Damaged("more or fewer bytes came than were announced")
            file.write(answer.body)
            digest.update(answer.body)
            here += len(answer.body)
    if digest.hexdigest() != told["digest"]:
        raise Damaged(f"expected {told['digest'][:12]}, got {digest.hexdigest()[:12]}")
