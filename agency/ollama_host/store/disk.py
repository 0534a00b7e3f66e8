"""Content-addressed blobs and per-name manifests on disk, written to a temporary name and renamed."""

import errno
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agency.ollama_host.store.names import Name

DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")
LAYER = "application/vnd.ollama.image."
CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

PRUNE_GRACE_S = 3600.0  # a restart between an upload and its create must not lose the upload


def is_digest(text: str) -> bool:
    return DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model; `kind` is the last word of its media type (model, adapter, template, system, params ...)."""

    kind: str
    digest: str
    size: int
    origin: str = ""
    status: str = ""

    def document(self) -> dict[str, Any]:
        media_type = CONFIG if self.kind == "config" else LAYER + self.kind
        plain = {"mediaType": media_type, "digest": self.digest, "size": self.size}
        return plain | ({"from": self.origin} if self.origin else {})

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Layer":
        kind = "config" if document["mediaType"] == CONFIG else document["mediaType"].removeprefix(LAYER)
        return cls(kind, document["digest"], document["size"], document.get("from", ""))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A name's layers; `digest` is the bare hex SHA-256 of the manifest file: the identity of what is live."""

    name: Name
    digest: str
    modified_at: datetime
    config: Layer
    layers: tuple[Layer, ...]

    @property
    def size_bytes(self) -> int:
        return self.config.size + sum(layer.size for layer in self.layers)

    def last(self, kind: str) -> Layer | None:
        return next((layer for layer in reversed(self.layers) if layer.kind == kind), None)


class Store:
    """Guarantees: a reader sees a whole blob or manifest or none; a blob's name is the digest of its bytes."""

    def __init__(self, root: Path, disk_bytes: int = 0) -> None:
        self.blobs, self.manifests, self.disk_bytes = root / "blobs", root / "manifests", disk_bytes
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.manifests.mkdir(parents=True, exist_ok=True)

    def blob_path(self, digest: str) -> Path:
        return self.blobs / digest.replace(":", "-")

    def has(self, digest: str) -> bool:
        return self.blob_path(digest).is_file()

    def check_room(self, more: int = 0) -> None:
        """Raises OSError(ENOSPC) where the blobs take more than they may; without a limit the disk itself decides."""
        if self.disk_bytes and sum(path.stat().st_size for path in self.blobs.iterdir()) + more > self.disk_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.blobs))

    def temporary(self) -> Path:
        return self.blobs / f"sha256-{secrets.randbelow(10**10)}"

    def adopt(self, temporary: Path, digest: str | None = None) -> str:
        """Give a finished temporary file its true digest as its name."""
        self.check_room()
        digest = digest or file_digest(temporary)
        os.replace(temporary, self.blob_path(digest))
        return digest

    def add_bytes(self, data: bytes, kind: str) -> Layer:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        existed = self.has(digest)
        if not existed:
            temporary = self.temporary()
            self.check_room(len(data))
            temporary.write_bytes(data)
            self.adopt(temporary, digest)
        return Layer(kind, digest, len(data), status=layer_status(digest, existed))

    def existing(self, kind: str, digest: str, origin: str = "") -> Layer:
        return Layer(kind, digest, self.blob_path(digest).stat().st_size, origin, layer_status(digest, True))

    def read(self, layer: Layer | None) -> bytes:
        return self.blob_path(layer.digest).read_bytes() if layer else b""

    def find(self, name: Name) -> Manifest | None:
        path = self.manifests.joinpath(*name.parts)
        if path.is_file():
            return self._load(path)
        wanted = name.short.lower()
        return next((m for m in self.all() if m.name.short.lower() == wanted), None)

    def all(self) -> Iterator[Manifest]:
        for path in sorted(self.manifests.glob("*/*/*/*")):
            if not path.name.startswith("."):
                yield self._load(path)

    def _load(self, path: Path) -> Manifest:
        data = path.read_bytes()
        document = json.loads(data)
        modified_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        layers = tuple(Layer.of(layer) for layer in document["layers"])
        digest = hashlib.sha256(data).hexdigest()
        return Manifest(Name(*path.parts[-4:]), digest, modified_at, Layer.of(document["config"]), layers)

    def write(self, name: Name, config: Layer, layers: tuple[Layer, ...]) -> None:
        """Publish a name; layers that only its former manifest used are unlinked."""
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.document(),
            "layers": [layer.document() for layer in layers],
        }
        former = self.find(name)
        self._publish(name, json.dumps(document, separators=(",", ":")).encode())
        if former:
            self._prune(former)

    def copy(self, source: Manifest, to: Name) -> None:
        if source.name != to:
            self._publish(to, self.manifests.joinpath(*source.name.parts).read_bytes())

    def delete(self, manifest: Manifest) -> None:
        self.manifests.joinpath(*manifest.name.parts).unlink()
        self._prune(manifest)

    def _publish(self, name: Name, data: bytes) -> None:
        path = self.manifests.joinpath(*name.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{secrets.token_hex(6)}"
        temporary.write_bytes(data)
        os.replace(temporary, path)

    def sweep(self, older_than_s: float = PRUNE_GRACE_S) -> None:
        """At start: remove uploads that no manifest came to use, and what a killed server left half-written."""
        used = {self.blob_path(digest).name for digest in self._used()}
        for path in self.blobs.iterdir():
            if path.name not in used and path.stat().st_mtime < time.time() - older_than_s:
                path.unlink()

    def _used(self) -> set[str]:
        return {layer.digest for manifest in self.all() for layer in (manifest.config, *manifest.layers)}

    def _prune(self, manifest: Manifest) -> None:
        used = self._used()
        for layer in (manifest.config, *manifest.layers):
            if layer.digest not in used:
                self.blob_path(layer.digest).unlink(missing_ok=True)


def layer_status(digest: str, existed: bool) -> str:
    return f"{'using existing' if existed else 'creating new'} layer {digest}"


def file_digest(path: Path, progress: Callable[[int], None] | None = None) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
            if progress:
                progress(len(chunk))
    return f"sha256:{hasher.hexdigest()}"
