"""Puts one version on one host and proves that it serves: idempotent, resumable, nothing sent twice."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pipelines.hosts import Host, Messages
from pipelines.hosts.errors import HostDown, HostError, HostRefused
from pipelines.hosts.facts import Generation, HostFacts, Shown
from pipelines.hosts.versions import why_no_adapters

UNLOAD_S, LOOK_S = 60.0, 0.2  # running answers end first
GREEDY = {"temperature": 0, "seed": 1}


@dataclass(frozen=True, slots=True)
class Smoke:
    """A prompt and the judgement of its answer."""

    messages: Messages
    accepts: Callable[[str], bool]
    options: Mapping[str, Any] = field(default_factory=lambda: GREEDY | {"num_predict": 64})


@dataclass(frozen=True, slots=True)
class Release:
    """What to place. `digest` is `sha256:<hex>` of the file; `lora` and `lora_digest` of an adapter that the host loads
    over it, if any; `jinja` the GGUF's own template, `go_template` and `stop` its equivalent for generation A, which
    never reads Jinja; `architecture` and `info` as in the GGUF's metadata;
    `prompts` are messages and the text they were trained as, which the host must render to the letter.

    `smoke_share` of the smoke prompts must be accepted: the same bytes answer about a fifth of unusual prompts
    differently from one generation to another, so asking for all would refuse healthy models.
    """

    name: str
    path: Path
    digest: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    go_template: str | None = None
    stop: tuple[str, ...] = ()
    jinja: str | None = None
    architecture: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    prompts: Sequence[tuple[Messages, str]] = ()
    smoke: Sequence[Smoke] = ()
    smoke_share: float = 0.75
    lora: Path | None = None
    lora_digest: str = ""


@dataclass(frozen=True, slots=True)
class PlacementFacts:
    """`manifest_digest` (bare hex) identifies what is live; `blob_digest` is the file that the host really uses.

    `prompts_checked`: how many were rendered there to the letter; 0 where the host cannot tell. `proofs`: see
    Host.prove. `is_resident`: whether the list of loaded models has it; beside another name of one file it may not.
    """

    manifest_digest: str
    blob_digest: str
    generation: Generation
    version: str
    seconds: float
    bytes_sent: int
    smoke_passed: int
    smoke_total: int
    prompts_checked: int = 0
    proofs: Mapping[str, bool] = field(default_factory=dict)
    is_resident: bool = True


class FileCheck(Protocol):
    """Judges a file before its first byte is sent (one generation's whole server dies of a malformed one); raises."""

    def __call__(self, path: Path, *, expect: Literal["model", "adapter"] = "model") -> object: ...


class Watcher(Protocol):
    """Who is told how far a placing has come; what it raises ends the placing."""

    def sent(self, done: int, total: int) -> None: ...

    def step(self, text: str) -> None: ...


class Nobody:
    def sent(self, done: int, total: int) -> None: ...

    def step(self, text: str) -> None: ...


def place(host: Host, release: Release, check: FileCheck, watcher: Watcher | None = None) -> PlacementFacts:
    """Push, create, compare, load and smoke-test one version on one host.

    What `check` raises passes through. Raises HostDown (run it again: what is done is not repeated), HostLost (after a
    look) or HostRefused; a name that was made here and then refused is taken away again.
    """
    started, watcher = time.monotonic(), watcher or Nobody()
    facts = host.probe()
    is_new = host.show(release.name) is None
    bytes_sent = _make(host, release, facts, check, watcher) if is_new else 0
    try:
        shown = _compared(host, release, facts.generation, is_new)
        found = _proved(host, release, watcher)
    except HostRefused:
        if is_new:
            withdraw(host, release.name)
        raise
    return PlacementFacts(
        blob_digest=shown.blob_digest,
        generation=facts.generation,
        version=facts.version,
        seconds=time.monotonic() - started,
        bytes_sent=bytes_sent,
        smoke_total=len(release.smoke),
        **found,
    )


def _make(host: Host, release: Release, facts: HostFacts, check: FileCheck, watcher: Watcher) -> int:
    """The files and the name on the host; the bytes that were sent. A base that is there already is not sent again."""
    arguments = _create_arguments(release, facts)
    check(release.path)
    if release.lora:
        check(release.lora, expect="adapter")  # Hosts take any file for one, and answer as if it were not there.
    sent = host.push_blob(release.path, release.digest, watcher.sent)
    sent += host.push_blob(release.lora, release.lora_digest, watcher.sent) if release.lora else 0
    watcher.step("creating")
    host.create(release.name, release.digest, *arguments, adapter=release.lora_digest)
    return sent


def _compared(host: Host, release: Release, generation: Generation, is_new: bool) -> Shown:
    shown = host.show(release.name)
    if shown is None:
        raise HostDown(f"{release.name} is gone from the host again: something else deletes names there")
    _compare(shown, release, generation, is_new)
    return shown


def _proved(host: Host, release: Release, watcher: Watcher) -> dict[str, Any]:
    """Loaded, given the trained prompts, and answering as it should."""
    watcher.step("loading")
    host.preload(release.name)
    watcher.step("asking smoke prompts")
    found: dict[str, Any] = {"prompts_checked": _check_prompts(host, release), "smoke_passed": _smoke(host, release)}
    proofs = host.prove(release.name)
    if failed := [name for name in ("schema", "length") if not proofs.get(name, True)]:
        raise HostRefused(f"{release.name} does not keep to a {failed[0]} on this host: look at its log")
    digest = _manifest_digest(host, release.name)
    return found | {"manifest_digest": digest, "proofs": dict(proofs), "is_resident": digest in host.resident()}


def withdraw(host: Host, name: str) -> None:
    """Take away what was made a moment ago and refused; production stays as it was. A host that fails keeps it."""
    with suppress(HostError):
        host.unload(name)
        host.delete(name)


def retire(host: Host, name: str, may_unload: bool = True) -> bool:
    """Unload, wait until it is out of memory, delete; False where the name was gone.

    Deleted first, its process could be addressed no more and would keep the memory. `may_unload`: no other name that is
    needed runs the same file. Raises HostRefused where another name, such as the production alias, means this version.
    """
    digests = {tag.name: tag.digest for tag in host.tags()}
    if name not in digests:
        return False
    if others := [other for other, digest in digests.items() if digest == digests[name] and other != name]:
        raise HostRefused(f"{others[0]} still means the same as {name}: point it elsewhere first")
    if may_unload:
        host.unload(name)
        _await_unloaded(host, name, digests[name])
    host.delete(name)
    return True


def _await_unloaded(host: Host, name: str, digest: str) -> None:
    end = time.monotonic() + UNLOAD_S
    while digest in host.resident():
        if time.monotonic() > end:
            raise HostDown(
                f"{name} is still in the host's memory: it will be tried again; restart the host if it stays"
            )
        time.sleep(LOOK_S)


def _create_arguments(release: Release, facts: HostFacts) -> tuple[Mapping[str, Any], str | None, str | None]:
    """A renders Go templates only, so it gets one and the stop words; B and C read the GGUF's Jinja."""
    refusal = why_no_adapters(facts.version, facts.generation, release.architecture or "") if release.lora else ""
    if refusal:
        raise HostRefused(f"{refusal}: ship merged files, or choose another host")
    if facts.generation is not Generation.A:
        return release.parameters, None, release.system
    if not release.go_template:
        raise HostRefused(
            f"The host runs version {facts.version}, which needs the prompt template in its own language: "
            "give the pipeline a Go template or update the host to 0.30 or later"
        )
    return {**release.parameters, "stop": list(release.stop)}, release.go_template, release.system


def _compare(shown: Shown, release: Release, generation: Generation, is_new: bool) -> None:
    """What the host shows against what was meant; a difference is a refusal: version tags are never rewritten."""
    found = [text for text in _differences(shown, release, generation) if text]
    # B may have rewritten the file that was sent just now; under a name found there, other bytes are not ours.
    is_rewritten = is_new and generation is Generation.B
    if shown.blob_digest != release.digest and not is_rewritten:
        found.append(f"it uses the file {shown.blob_digest[:19]}")
    if found:
        raise HostRefused(
            f"{release.name} on the host is not what was sent: {'; '.join(found)}. Delete it there, then place it again"
        )


def _differences(shown: Shown, release: Release, generation: Generation) -> list[str]:
    template = release.go_template if generation is Generation.A else release.jinja
    wanted = (release.lora_digest,) if release.lora_digest else ()
    return [
        _unless(shown.adapter_digests == wanted, f"it {'does not carry its own' if wanted else 'carries an'} adapter"),
        _unless(not template or not shown.template or shown.template == template, "it uses another prompt template"),
        _unless(shown.system == (release.system or ""), "it has another system prompt"),
        _unless(_has_architecture(shown, release), "it is of another architecture"),
        *(_unless(shown.model_info.get(key, value) == value, f"{key} differs") for key, value in release.info.items()),
        *(_unless(_has_parameter(shown, *pair), f"parameter {pair[0]} differs") for pair in release.parameters.items()),
    ]


def _unless(holds: bool, text: str) -> str:
    return "" if holds else text


def _has_architecture(shown: Shown, release: Release) -> bool:
    found = shown.model_info.get("general.architecture")
    return not release.architecture or found in (None, release.architecture)


def _has_parameter(shown: Shown, name: str, value: Any) -> bool:
    found = [text for key, text in shown.parameters if key == name]
    wanted = [str(v) for v in (value if isinstance(value, list | tuple) else [value])]
    return found == wanted or [_number(text) for text in found] == [_number(text) for text in wanted]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _manifest_digest(host: Host, name: str) -> str:
    found = next((tag.digest for tag in host.tags() if tag.name == name), None)
    if found is None:
        raise HostDown(f"{name} is not listed on the host, though it answers: look at its disk")
    return found


def _check_prompts(host: Host, release: Release) -> int:
    """How many prompts the host could show. Raises HostRefused for one that is not what was trained."""
    shown = 0
    for messages, expected in release.prompts:
        found = host.render(release.name, messages)
        if found not in (None, expected):
            raise HostRefused(
                f"The host gives {release.name} another prompt than it was trained on: {found!r} in place of "
                f"{expected!r}. Check the chat template"
            )
        shown += found is not None
    return shown


def _smoke(host: Host, release: Release) -> int:
    """How many smoke prompts were accepted. Raises HostRefused below the share that must be."""
    answers = [host.chat(release.name, smoke.messages, smoke.options).text for smoke in release.smoke]
    passed = sum(smoke.accepts(text) for smoke, text in zip(release.smoke, answers, strict=True))
    if release.smoke and passed < release.smoke_share * len(release.smoke):
        wrong = next(t for s, t in zip(release.smoke, answers, strict=True) if not s.accepts(t))
        raise HostRefused(
            f"{release.name} answered {passed} of {len(release.smoke)} smoke prompts as expected on this host "
            f"(wanted {release.smoke_share:.0%}); for example it said {wrong[:120]!r}"
        )
    return passed
