"""Hosts that serve models: the Protocol, its facts and errors, and a visible list of kinds."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from pipelines.hosts.errors import HostDown, HostError, HostLost, HostRefused
from pipelines.hosts.facts import Answer, Created, Generation, HostFacts, Loaded, Shown, Tag
from pipelines.outbound import Access, OutboundRefused
from pipelines.outbound.names import parse

__all__ = [
    "HOSTS", "Answer", "Created", "Generation", "Host", "HostDown", "HostError", "HostFacts", "HostLost", "HostRefused",
    "Loaded",
    "Shown", "Tag", "open_host",
]  # fmt: skip

HOSTS = {"ollama": "pipelines.hosts.ollama:OllamaHost", "fake": "pipelines.hosts.fake:FakeHost"}
Messages = Sequence[Mapping[str, str]]
Progress = Callable[[int, int], None]


class Host(Protocol):
    """One server of models. Every call raises HostDown (try again later) or HostRefused (a person must act)."""

    def probe(self) -> HostFacts:
        """Version, generation, loaded models. Refuses versions below 0.21."""

    def has_blob(self, digest: str) -> bool: ...

    def push_blob(self, path: Path, digest: str, on_progress: Progress | None = None) -> int:
        """Upload a file unless the host has it; the bytes sent. `on_progress(sent, total)` in bytes."""

    def create(
        self,
        name: str,
        digest: str,
        parameters: Mapping[str, Any],
        template: str | None = None,
        system: str | None = None,
        adapter: str = "",
    ) -> Created:
        """Make a name from an uploaded GGUF, and the LoRA `adapter` (its digest) over it, if any. Only a final success
        counts; a broken connection is answered by looking, never by a second try: HostLost where nothing shows that the
        host lived on."""

    def show(self, name: str) -> Shown | None:
        """What the name holds, or None where it does not exist."""

    def tags(self) -> tuple[Tag, ...]: ...

    def preload(self, name: str, keep_alive: int = -1) -> None:
        """Load now and keep for `keep_alive` seconds; -1 is for ever."""

    def unload(self, name: str) -> None: ...

    def copy(self, source: str, destination: str) -> None: ...

    def delete(self, name: str) -> None:
        """Remove a name; one that is already gone is fine. It does not unload: unload first."""

    def chat(
        self,
        name: str,
        messages: Messages,
        options: Mapping[str, Any] | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One answer; `schema` is that of the JSON which the host enforces."""

    def render(self, name: str, messages: Messages) -> str | None:
        """The prompt text the model would be given, or None where this kind of host cannot tell."""

    def prove(self, name: str) -> Mapping[str, bool]:
        """What else a version must do than answer, and whether it does: `schema`, `length`, `openai`."""

    def resident(self) -> tuple[str, ...]:
        """Manifest digests (bare hex) of loaded models; a row keeps the digest it was first loaded under."""

    def loaded(self) -> tuple[Loaded, ...]:
        """Models in memory with what they take there."""

    def close(self) -> None: ...


def open_host(
    kind: str,
    url: str,
    access: Access | None = None,
    timeout_s: float = 10.0,
    allow_private: bool = False,
) -> Host:
    """A host by kind and address. `allow_private` admits private and loopback addresses; `access` is how a proxy in
    front of it knows us.

    Raises HostRefused for what is no address of a host, KeyError for an unknown kind. Where its name leads is judged
    at each connection (pipelines.outbound).
    """
    module, _, name = HOSTS[kind].partition(":")
    if kind != "fake":
        try:
            parse(url)
        except OutboundRefused as refused:
            raise HostRefused(str(refused)) from refused
    host: Host = getattr(import_module(module), name)(url, access or Access(), timeout_s, allow_private)
    return host
