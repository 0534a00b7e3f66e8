"""Job replay: recent prompts of the client's own traffic, answered by both versions on one of its hosts, as pairs.

No user sees these answers. Each pair is a row as soon as it is whole: a job that is taken over asks no prompt twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from django.utils.timezone import now as clock

from pipelines.domain.prompting import with_system
from pipelines.engine.jobs import JobFailed, Work
from pipelines.fleet.alone import is_alone
from pipelines.heavy.push import open_adapter
from pipelines.hosts import Host as HostAdapter
from pipelines.hosts import HostDown, HostRefused, Messages
from pipelines.metrics import format_check
from pipelines.metrics.refusal import is_refusal
from pipelines.models import ModelVersion, Placement, ReplayPair, Rollout
from pipelines.shipping import replay
from pipelines.shipping.bodies import RecentPrompt
from tenants.pipeline_settings import PipelineSettings

# Of a request's own options; those that would have the host load the model anew are the release's.
KEPT_OPTIONS = ("temperature", "seed", "top_k", "top_p", "num_predict", "stop", "repeat_penalty")


@dataclass(frozen=True)
class Asking:
    """A host with both versions on it."""

    host: HostAdapter
    candidate: str
    production: str
    versions: Mapping[str, ModelVersion]
    output: Mapping[str, Any]
    serving: str


def work(work: Work) -> dict[str, Any]:
    rollout = Rollout.objects.select_related("run__revision", "version", "previous").get(run=work.job.run)
    phase, wants = work.job.spec["phase"], int(work.job.spec["pairs"])
    places = replay.shared_placements(rollout)
    if places is None:
        raise JobFailed("the two versions stand on no host together", permanent=True)
    settings = rollout.run.revision.settings
    found = replay.prompts(rollout, phase, wants - _had(work, rollout, phase), clock())
    ask = _ask_in_turn if is_alone(rollout) else _ask_all
    with closing(open_adapter(places[0].host, settings.rollout.request_timeout_s)) as host:
        ask(work, rollout, _asking(host, places, settings, rollout), found)
    return _tally(rollout, phase)


def _had(work: Work, rollout: Rollout, phase: str) -> int:
    """Pairs that an earlier attempt at this very job left."""
    return ReplayPair.objects.filter(rollout=rollout, phase=phase, at__gte=work.job.created_at).count()


def _asking(
    host: HostAdapter, places: tuple[Placement, Placement], settings: PipelineSettings, rollout: Rollout
) -> Asking:
    candidate, production = (place.model_name for place in places)
    try:
        for name in () if is_alone(rollout) else (candidate, production):
            host.preload(name)
    except (HostDown, HostRefused) as error:
        raise JobFailed(f"{places[0].host.name}: {error}") from error
    versions = {"candidate": places[0].version, "production": places[1].version}
    serving = "candidate" if rollout.live_at else "production"
    return Asking(host, candidate, production, versions, settings.criteria.output.promised, serving)


def _ask_all(work: Work, rollout: Rollout, asking: Asking, found: list[RecentPrompt]) -> None:
    for number, prompt in enumerate(found):
        if work.cancelled():
            raise JobFailed("the job was taken over or cancelled")
        messages, options = _asked(prompt.request)
        if messages:
            _keep(work, rollout, prompt, _pair(asking, messages, options, number))
        work.report((number + 1) / len(found), "replaying recent prompts", pairs=number + 1, of=len(found))


def _ask_in_turn(work: Work, rollout: Rollout, asking: Asking, found: list[RecentPrompt]) -> None:
    """One version at a time, where the host has no room for both; the one that serves is loaded when they are done."""
    asked = [(prompt, *_asked(prompt.request)) for prompt in found]
    asked = [row for row in asked if row[1]]
    answers: list[dict[str, dict[str, Any]]] = [{} for _ in asked]
    names = {"candidate": asking.candidate, "production": asking.production}
    try:
        for number, (arm, name) in enumerate(names.items()):
            asking.host.unload(names[other_of(arm)])
            asking.host.preload(name)
            for place, (_prompt, messages, options) in enumerate(asked):
                if work.cancelled():
                    raise JobFailed("the job was taken over or cancelled")
                said = under_prompt_of(asking.versions[arm], messages)
                answers[place][arm] = _answer(asking, name, said, options)
                done = (number * len(asked) + place + 1) / (2 * len(asked))
                work.report(done, f"{arm} answers recent prompts, alone on its host", pairs=place + 1, of=len(asked))
    finally:
        asking.host.unload(names[other_of(asking.serving)])
        asking.host.preload(names[asking.serving])
    for (prompt, _messages, _options), pair in zip(asked, answers, strict=True):
        _keep(work, rollout, prompt, pair)


def other_of(arm: str) -> str:
    return "production" if arm == "candidate" else "candidate"


def _pair(asking: Asking, messages: Messages, options: Mapping[str, Any], number: int) -> dict[str, dict[str, Any]]:
    """Who is asked first alternates: the second answer may profit from what the first one warmed."""
    names = {"candidate": asking.candidate, "production": asking.production}
    order = sorted(names, reverse=bool(number % 2))
    # As the gateway does: a version's own system prompt may take the place of the application's.
    asked = {arm: under_prompt_of(version, messages) for arm, version in asking.versions.items()}
    answers = {arm: _answer(asking, names[arm], asked[arm], options) for arm in order}
    if all(said["is_down"] for said in answers.values()):
        raise JobFailed(f"the host answered neither version: {answers['production']['text']}")
    return answers


def under_prompt_of(version: ModelVersion, messages: Messages) -> Messages:
    return with_system(messages, version.system, True) if version.replaces_system else messages


def _answer(asking: Asking, name: str, messages: Messages, options: Mapping[str, Any]) -> dict[str, Any]:
    try:
        answer = asking.host.chat(name, messages, options)
    except (HostDown, HostRefused) as error:
        failed = {"text": str(error), "latency_ms": None, "is_error": True, "is_bad": None}
        return failed | {"is_down": isinstance(error, HostDown)}
    text = answer.text
    is_bad = not text.strip() or is_refusal(text) or not format_check(asking.output, text)
    warm_ms = 1000 * (answer.seconds - answer.load_seconds)
    return {"text": text, "latency_ms": warm_ms, "is_error": False, "is_bad": is_bad, "is_down": False}


def _asked(request: Mapping[str, Any]) -> tuple[Messages, dict[str, Any]]:
    """The request as a chat; without messages where no chat can carry it (images, tools, a wanted format)."""
    options = request.get("options") or {}
    kept = {name: options[name] for name in KEPT_OPTIONS if name in options}
    if request.get("tools") or request.get("format"):
        return [], {}
    return _plain(request.get("messages") or _as_chat(request)), kept


def _plain(messages: list[Any]) -> list[dict[str, str]]:
    """All of them as texts, or none."""
    texts = [m for m in messages if isinstance(m, dict) and isinstance(m.get("content"), str)]
    known = [m for m in texts if isinstance(m.get("role"), str) and not (m.get("images") or m.get("tool_calls"))]
    return [{"role": m["role"], "content": m["content"]} for m in known] if len(known) == len(messages) else []


def _as_chat(request: Mapping[str, Any]) -> list[dict[str, str]]:
    if not isinstance(request.get("prompt"), str) or request.get("suffix"):
        return []
    system = [{"role": "system", "content": request["system"]}] if request.get("system") else []
    return [*system, {"role": "user", "content": request["prompt"]}]


def _keep(work: Work, rollout: Rollout, prompt: RecentPrompt, answers: dict[str, dict[str, Any]]) -> None:
    owner: dict[str, Any] = {"agency_id": rollout.agency_id, "client_id": rollout.client_id, "at": clock()}
    owner |= {"body_id": prompt.body_id} if prompt.body_id else {"asked": dict(prompt.request)}
    found = {"rollout": rollout, "phase": work.job.spec["phase"], "prompt_digest": prompt.digest}
    ReplayPair.objects.get_or_create(**found, defaults=owner | answers)


def _tally(rollout: Rollout, phase: str) -> dict[str, Any]:
    rows = list(ReplayPair.objects.filter(rollout=rollout, phase=phase))
    return {"pairs": len(rows), "changed": sum(row.is_changed for row in rows)}
