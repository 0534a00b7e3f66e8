"""A host in a folder: several processes see the same one, every effect is counted, and it fails when told to.

`mode` in the folder is one of `down`, `refuse`, `lost` (in the middle of a create), `slow:<seconds>`,
`kill-before:<effect>`, `kill-after:<effect>`; the kill modes end the calling process once. `answers.json` maps a model
name to the text it answers with; a model without one repeats the last message. Effects (blob, create, copy, delete,
load, unload) are lines of `effects.jsonl`.
"""

import fcntl
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.hosts import Messages, Progress
from pipelines.hosts.errors import HostDown, HostLost, HostRefused
from pipelines.hosts.facts import Answer, Created, Generation, HostFacts, Loaded, Shown, Tag
from pipelines.hosts.versions import generation_of
from pipelines.outbound import Access

VERSION = "0.33.0"


class FakeHost:
    def __init__(
        self, url: str, access: Access | None = None, timeout_s: float = 10.0, allow_private: bool = True
    ) -> None:
        self.root = Path(url.removeprefix("fake://"))
        self.timeout_s = timeout_s
        (self.root / "blobs").mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        return

    # What tests say and read.

    def fail(self, mode: str) -> None:
        """Set how calls fail from now on; an empty mode ends it."""
        (self.root / "mode").write_text(mode)

    def answer_with(self, name: str, text: str) -> None:
        self._write("answers.json", self._read("answers.json") | {name: text})

    def effects(self, kind: str | None = None) -> list[dict[str, Any]]:
        path = self.root / "effects.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [row for row in rows if kind in (None, row["effect"])]

    # The host.

    def probe(self) -> HostFacts:
        self._gate()
        path = self.root / "version"
        version = path.read_text().strip() if path.exists() else VERSION
        return HostFacts(version, generation_of(version) or Generation.B, self.resident(), 0.1)

    def has_blob(self, digest: str) -> bool:
        self._gate()
        return (self.root / "blobs" / _flat(digest)).exists()

    def push_blob(self, path: Path, digest: str, on_progress: Progress | None = None) -> int:
        if self.has_blob(digest):
            return 0
        data = path.read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise HostRefused(f'digest mismatch, expected "{digest}"')
        with self._effect("blob", digest=digest, bytes=len(data)):
            _replace(self.root / "blobs" / _flat(digest), data)
        if on_progress:
            on_progress(len(data), len(data))
        return len(data)

    def create(
        self,
        name: str,
        digest: str,
        parameters: Mapping[str, Any],
        template: str | None = None,
        system: str | None = None,
        adapter: str = "",
    ) -> Created:
        for blob in (digest, *((adapter,) if adapter else ())):
            if not self.has_blob(blob):
                raise HostRefused(f"no such blob: {blob}")
        if adapter and self.probe().generation is Generation.C:
            raise HostRefused("LoRA adapters are no longer supported")
        if self._mode()[0] == "lost":
            raise HostLost(f"{self.root} broke off while it created the model: look at its log before trying again")
        model = {"blob": digest, "parameters": dict(parameters), "template": template or "", "system": system or ""}
        model |= {"adapter": adapter} if adapter else {}
        with self._effect("create", name=name, digest=digest):
            self._change("names.json", {name: model})
        return Created(_manifest(model))

    def show(self, name: str) -> Shown | None:
        self._gate()
        model = self._read("names.json").get(name)
        if model is None:
            return None
        rows = [(key, v) for key, value in model["parameters"].items() for v in _listed(value)]
        parameters = tuple((key, str(value)) for key, value in rows)
        adapters = (model["adapter"],) if model.get("adapter") else ()
        return Shown(model["blob"], adapters, model["template"], model["system"], parameters)

    def tags(self) -> tuple[Tag, ...]:
        self._gate()
        found = self._read("names.json").items()
        return tuple(Tag(name, _manifest(model), self._size(model["blob"])) for name, model in found)

    def _size(self, digest: str) -> int:
        return (self.root / "blobs" / _flat(digest)).stat().st_size

    def resident(self) -> tuple[str, ...]:
        self._gate()
        return tuple(self._read("resident.json").values())

    def loaded(self) -> tuple[Loaded, ...]:
        self._gate()
        sizes = {name: self._size(model["blob"]) for name, model in self._read("names.json").items()}
        rows = self._read("resident.json").items()
        return tuple(Loaded(name, digest, sizes.get(name, 0), 0) for name, digest in rows)

    def preload(self, name: str, keep_alive: int = -1) -> None:
        model = self._model(name)
        with self._effect("load", name=name):
            self._change("resident.json", {name: _manifest(model)})

    def unload(self, name: str) -> None:
        self._model(name)
        with self._effect("unload", name=name):
            self._change("resident.json", {name: None})

    def copy(self, source: str, destination: str) -> None:
        model = self._model(source)
        with self._effect("copy", name=destination, source=source):
            self._change("names.json", {destination: model})

    def delete(self, name: str) -> None:
        self._gate()
        with self._effect("delete", name=name):
            self._change("names.json", {name: None})

    def chat(
        self,
        name: str,
        messages: Messages,
        options: Mapping[str, Any] | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Answer:
        self._model(name)
        text = self._read("answers.json").get(name, messages[-1]["content"])
        return Answer(text, 0.001, 0.0)

    def render(self, name: str, messages: Messages) -> str | None:
        self._model(name)
        return None

    def prove(self, name: str) -> Mapping[str, bool]:
        self._model(name)
        return {}

    def _model(self, name: str) -> dict[str, Any]:
        self._gate()
        model: dict[str, Any] | None = self._read("names.json").get(name)
        if model is None:
            raise HostRefused(f"model {name!r} not found on the host")
        return model

    # Failing, counting and keeping.

    def _mode(self) -> tuple[str, str]:
        path = self.root / "mode"
        kind, _, value = (path.read_text().strip() if path.exists() else "").partition(":")
        return kind, value

    def _gate(self) -> None:
        match self._mode():
            case "down", _:
                raise HostDown(f"{self.root} does not answer: it will be tried again")
            case "refuse", _:
                raise HostRefused(f"{self.root} refuses every call: set its mode back")
            case "slow", seconds:
                time.sleep(float(seconds))

    @contextmanager
    def _effect(self, kind: str, **facts: Any) -> Iterator[None]:
        self._die_at("kill-before", kind)
        yield
        line = json.dumps({"effect": kind, **facts}) + "\n"
        with (self.root / "effects.jsonl").open("a") as file:
            file.write(line)
        self._die_at("kill-after", kind)

    def _die_at(self, moment: str, effect: str) -> None:
        if self._mode() == (moment, effect):
            self.fail("")
            os.kill(os.getpid(), signal.SIGKILL)

    def _read(self, name: str) -> dict[str, Any]:
        path = self.root / name
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def _write(self, name: str, found: dict[str, Any]) -> None:
        _replace(self.root / name, json.dumps(found).encode())

    def _change(self, name: str, changes: dict[str, Any]) -> None:
        """Merge under a lock that other processes heed; a None removes its key."""
        with (self.root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            merged = self._read(name) | changes
            self._write(name, {key: value for key, value in merged.items() if value is not None})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _flat(digest: str) -> str:
    return digest.replace(":", "-")


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def _manifest(model: Mapping[str, Any]) -> str:
    """A copy has its source's digest, and the same create gives the same digest: as on real hosts."""
    return hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()
