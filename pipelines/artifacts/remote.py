"""An object store behind the folder: what is put there first is the truth, the folder beside it a cache."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings

# Beside the folders of clients.
TRIED, TRY_S = "doctor", 5.0


class Remote(Protocol):
    """Keys are paths below the client's own folder."""

    def has(self, key: str) -> bool: ...

    def upload(self, path: Path, key: str) -> None:
        """Whole or absent: an object shows when its last byte is there."""

    def download(self, key: str, path: Path) -> None: ...

    def remove(self, key: str) -> None: ...

    def keys(self, folder: str) -> Iterator[tuple[str, datetime]]:
        """Each with when it was put."""


class S3:
    """Any store that speaks S3, through django-storages. Names are the installation's; no tenant chooses an address."""

    def __init__(self, storage: Any, prefix: str) -> None:
        self._storage, self._prefix = storage, prefix

    def has(self, key: str) -> bool:
        return bool(self._storage.exists(self._name(key)))

    def upload(self, path: Path, key: str) -> None:
        # Straight to the bucket and not through `save`: that would look for a free name first.
        self._storage.bucket.upload_file(str(path), self._name(key))

    def download(self, key: str, path: Path) -> None:
        # Straight to the disk and not through `open`: that would hold all of it in memory.
        self._storage.bucket.download_file(self._name(key), str(path))

    def remove(self, key: str) -> None:
        self._storage.delete(self._name(key))

    def keys(self, folder: str) -> Iterator[tuple[str, datetime]]:
        for found in self._storage.bucket.objects.filter(Prefix=self._name(folder) + "/"):
            yield found.key.removeprefix(f"{self._prefix}/"), found.last_modified

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{key}"


def remote_of(folder: str) -> Remote | None:
    """What stands behind a folder of the store; None where the folder is all there is."""
    return S3(_storage(), folder) if settings.ARTIFACTS_S3["bucket_name"] else None


@cache
def _storage() -> Any:
    return _made()


def _made() -> Any:
    from storages.backends.s3 import S3Storage  # boto3 is heavy: only where it is asked for.

    return S3Storage(**settings.ARTIFACTS_S3, default_acl=None, file_overwrite=True, querystring_auth=True)


def try_bucket() -> None:
    """Puts one small object, lists and removes it: all that artifacts need. Asked once, seconds long.

    Raises what boto3 raises.
    """
    from botocore.config import Config

    storage = _made()
    patience = Config(connect_timeout=TRY_S, read_timeout=TRY_S, retries={"total_max_attempts": 1})
    storage.client_config = storage.client_config.merge(patience)
    one = storage.bucket.Object(TRIED)
    one.put(Body=b"retune")
    list(storage.bucket.objects.filter(Prefix=TRIED).limit(1))
    one.delete()
