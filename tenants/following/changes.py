"""One change over many pipelines: proposed as one difference, saved as a revision in each, stale ones left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from pydantic import ValidationError

from tenants import actions, scope
from tenants.following.fields import patched, shared
from tenants.models import Pipeline
from tenants.people.four_eyes import TwoPeopleNeeded
from tenants.pipeline_settings import PipelineSettings

Change = tuple[str, Any, Any]
# Why well-formed settings cannot work for the pipeline; empty where they can. What knows that lies above this room.
Judge = Callable[[Pipeline, PipelineSettings], str]


@dataclass(frozen=True)
class Saver:
    """Who saves, when, and who judges what is saved."""

    actor: str
    now: datetime
    judge: Judge


@dataclass(frozen=True)
class Proposal:
    """What a change would do to one pipeline. `base` is the revision that it was worked out on.

    `refusal` says why its settings cannot take the change; `kept` are fields that stay as its own.
    """

    pipeline: Pipeline
    base: int
    changes: tuple[Change, ...] = ()
    kept: tuple[str, ...] = ()
    refusal: str = ""
    body: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_change(self) -> bool:
        return bool(self.changes) and not self.refusal


@dataclass
class Applied:
    """Names of pipelines: saved, changed by somebody meanwhile, unable to take it."""

    saved: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def propose(pipeline: Pipeline, wanted: Mapping[str, Any], judge: Judge, kept: Iterable[str] = ()) -> Proposal:
    """`wanted`: {path: value}; paths in `kept` stay. `pipeline` comes with its revision and client."""
    revision = pipeline.revision
    if revision is None:
        return Proposal(pipeline, 0, refusal=_("It has no settings yet."))
    stored = revision.settings.model_dump(mode="json")
    has, kept = shared(stored), tuple(kept)
    different = {path: value for path, value in wanted.items() if has.get(path) != value}
    taken = {path: value for path, value in different.items() if path not in kept}
    changes = tuple((path, has.get(path), value) for path, value in sorted(taken.items()))
    stays = tuple(sorted(path for path in different if path in kept))
    body = patched(stored, taken)
    refusal = _refusal(pipeline, body, judge) if changes else ""
    return Proposal(pipeline, revision.number, changes, stays, refusal, {} if refusal else body)


def _refusal(pipeline: Pipeline, body: dict[str, Any], judge: Judge) -> str:
    try:
        read = PipelineSettings.model_validate(body)
    except ValidationError as error:
        return _first(error)
    with scope.client_scope(pipeline.client_id, pipeline.agency_id):
        return judge(pipeline, read)


def _first(error: ValidationError) -> str:
    """The first refusal in words."""
    first = error.errors(include_url=False)[0]
    why = (first.get("ctx") or {}).get("error") or first["msg"]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {why}" if where else str(why)


def name_of(pipeline: Pipeline) -> str:
    return f"{pipeline.client.name} · {pipeline.name}"


def apply(proposals: Iterable[Proposal], bases: Mapping[int, int], saver: Saver, reason: str) -> Applied:
    """Saves what was seen: `bases` is {pipeline: revision on the page}. Each pipeline is saved, or not, by itself."""
    done = Applied()
    for proposal in proposals:
        pipeline = proposal.pipeline
        if proposal.refusal:
            done.refused.append(f"{name_of(pipeline)}: {proposal.refusal}")
        elif proposal.is_change and bases.get(pipeline.pk) != proposal.base:
            done.stale.append(name_of(pipeline))
        elif proposal.is_change:
            with scope.client_scope(pipeline.client_id, pipeline.agency_id):
                _save(proposal, done, saver, reason)
    return done


def _save(proposal: Proposal, done: Applied, saver: Saver, reason: str) -> None:
    name = name_of(proposal.pipeline)
    try:
        row, body = proposal.pipeline, proposal.body
        actions.change_settings(row, body, saver.actor, saver.now, reason, base=proposal.base)
        done.saved.append(name)
    except actions.StaleSettings:
        done.stale.append(name)
    except TwoPeopleNeeded as needed:
        done.refused.append(f"{name}: {needed}")
