"""One host: its settings, its store and its running models."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from agency.ollama_host.scheduler import MAX_QUEUE, Scheduler
from agency.ollama_host.store import names
from agency.ollama_host.store.disk import Manifest, Store
from agency.ollama_host.store.gguf import Generation, Header, read
from agency.ollama_host.wire import Refused

VERSIONS = {Generation.A: "0.24.0", Generation.B: "0.33.0", Generation.C: "0.34.1"}
TINY_BYTES = 100_000_000  # below this one thread is the fastest: two cost more in barriers than they win


@dataclass(frozen=True, slots=True)
class Settings:
    """How the host behaves. Two faults to test with: `slow_ms` is waited before each answer, and past `disk_bytes` of
    blobs there is no space left."""

    store: Path
    generation: Generation = Generation.B
    version: str = ""
    max_loaded: int = 3
    slow_ms: int = 0
    max_queue: int = MAX_QUEUE
    disk_bytes: int = 0
    bind: str = "127.0.0.1"

    @property
    def shown_version(self) -> str:
        return self.version or VERSIONS[self.generation]


@dataclass(slots=True)
class Host:
    settings: Settings
    store: Store = field(init=False)
    scheduler: Scheduler = field(init=False)
    rewritten: dict[str, str] = field(default_factory=dict)  # uploaded digest -> digest after the canonical rewrite

    def __post_init__(self) -> None:
        self.store = Store(self.settings.store, self.settings.disk_bytes)
        self.scheduler = Scheduler(
            self.settings.max_loaded, self.settings.store / "runner.log", self.settings.max_queue
        )

    @property
    def generation(self) -> Generation:
        return self.settings.generation

    def find(self, text: str) -> Manifest | None:
        name = names.parse(names.without_local(text))
        return self.store.find(name) if name else None

    def model(self, text: str) -> Manifest:
        """The manifest a request names, for inference. 403 for a cloud tag, 404 for an unknown name."""
        name = names.parse(text)
        if name and name.is_cloud:
            raise Refused(403, "ollama cloud is disabled: remote inference is unavailable")
        if found := self.find(text):
            return found
        raise Refused(404, f"model '{text}' not found")

    def header(self, manifest: Manifest) -> Header:
        layer = manifest.last("model")
        if layer is None:
            raise Refused(400, f'"{manifest.name.short}" does not support generate')
        return read(self.store.blob_path(layer.digest), self.generation)


def threads_for(path: Path) -> int:
    return 1 if path.stat().st_size < TINY_BYTES else os.cpu_count() or 1
