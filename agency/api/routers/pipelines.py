"""Pipelines of the key's client."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Router
from ninja.errors import HttpError
from pydantic import ValidationError

from agency.api.auth import Key, actor_of
from agency.api.lookup import chosen_pipelines, client_in, key_in, open_pipeline
from agency.api.paging import Paged, page
from agency.api.schemas import Page, PauseIn, PipelineOut, Refusal, TriggerDecisionOut
from agency.api.schemas_changes import SettingsIn, SettingsOut
from agency.as_code import changing as as_code
from agency.as_code.document import BadDocument, sentences
from pipelines import actions
from pipelines.models import PipelineState, TriggerDecision
from tenants.actions import StaleSettings
from tenants.models import Pipeline
from tenants.people.four_eyes import TwoPeopleNeeded
from tenants.pipeline_settings import PipelineSettings

router = Router(tags=["pipelines"], auth=Key("examples", "runs", "versions", "rollback"))


@router.get("/pipelines", response=list[PipelineOut])
def list_pipelines(request: HttpRequest) -> list[dict[str, Any]]:
    """All pipelines of the key's client."""
    rows = Pipeline.objects.filter(client=client_in(request))
    return [_shown(row) for row in rows.select_related("revision", "state__production", "state__latest_run")]


@router.get("/pipelines/{slug}", response=PipelineOut)
def read_pipeline(request: HttpRequest, slug: str) -> dict[str, Any]:
    """One pipeline: what is in production, and its latest run."""
    return _shown(open_pipeline(request, slug))


@router.post("/pipelines/{slug}/pause", response={200: PipelineOut, 409: Refusal}, auth=Key("runs"))
def pause_pipeline(request: HttpRequest, slug: str, asked: PauseIn) -> dict[str, Any]:
    """No run starts until it is resumed. A live run goes on, and a rollback is always possible."""
    row, actor = open_pipeline(request, slug), actor_of(key_in(request))
    actions.pause(row, actor=actor, reason=asked.reason, now=timezone.now())
    return _shown(open_pipeline(request, slug))


@router.post("/pipelines/{slug}/resume", response={200: PipelineOut, 409: Refusal}, auth=Key("runs"))
def resume_pipeline(request: HttpRequest, slug: str, asked: PauseIn) -> dict[str, Any]:
    """Runs may start again; what fell due meanwhile starts one."""
    row, actor = open_pipeline(request, slug), actor_of(key_in(request))
    actions.resume(row, actor=actor, reason=asked.reason, now=timezone.now())
    return _shown(open_pipeline(request, slug))


@router.get("/trigger-decisions", response=Page[TriggerDecisionOut], auth=Key("runs"))
def list_trigger_decisions(request: HttpRequest, asked: Paged, pipeline: str | None = None) -> dict[str, Any]:
    """The trigger ledger of one pipeline or of all: why runs started, and why not yet."""
    rows = TriggerDecision.objects.filter(pipeline__in=chosen_pipelines(request, pipeline))
    return page(rows.select_related("pipeline", "run"), asked, "id", _decision)


@router.get("/pipelines/{slug}/settings", response=SettingsOut, auth=Key("settings"))
def read_settings(request: HttpRequest, slug: str) -> dict[str, Any]:
    """The revision that the next run pins, whole."""
    return _settings(open_pipeline(request, slug), [])


@router.put("/pipelines/{slug}/settings", response={200: SettingsOut, 409: Refusal, 422: Refusal}, auth=Key("settings"))
def change_settings(request: HttpRequest, slug: str, asked: SettingsIn) -> dict[str, Any]:
    """The same as `manage.py pipeline apply`: whole settings, never a part of them. `changes` says what differs.

    409: `base` is not the revision that holds any more, or two people must agree. `dry_run` changes nothing.
    """
    row = open_pipeline(request, slug)
    if asked.base != _number(row):
        raise _stale(row)
    wanted, now = _wanted(asked.settings), timezone.now()
    found = as_code.changes(row, wanted)
    try:
        as_code.refuse_other_base(wanted.recipe.base, asked.base_digest)
        if asked.dry_run:
            as_code.refuse(row, wanted, now)
        else:
            as_code.apply(row, wanted, actor_of(key_in(request)), asked.reason, now, base=asked.base)
    except StaleSettings as stale:
        raise _stale(open_pipeline(request, slug)) from stale
    except BadDocument as bad:
        raise HttpError(422, str(bad)) from bad
    except TwoPeopleNeeded as two:
        raise HttpError(409, str(two)) from two
    return _settings(row, found)


def _number(row: Pipeline) -> int:
    return row.revision.number if row.revision else 0


def _stale(row: Pipeline) -> HttpError:
    words = _("Revision r%(n)s holds now: read it, then send your change again.")
    return HttpError(409, words % {"n": _number(row)})


def _wanted(body: dict[str, Any]) -> PipelineSettings:
    try:
        return PipelineSettings.model_validate(body)
    except ValidationError as error:
        raise HttpError(422, "; ".join(sentences(error))) from error


def _settings(row: Pipeline, found: list[as_code.Change]) -> dict[str, Any]:
    changes = [{"path": path, "before": old, "after": new} for path, old, new in found]
    return {"revision": _number(row), "settings": row.settings.model_dump(mode="json"), "changes": changes}


def _shown(row: Pipeline) -> dict[str, Any]:
    state = _state(row)
    return {
        "slug": row.slug,
        "name": row.name,
        "is_paused": row.is_paused,
        "pause": row.pause,
        "settings_revision": row.revision.number if row.revision else None,
        "production": state.production.label if state and state.production else None,
        "latest_run": state.latest_run.number if state and state.latest_run else None,
    }


def _state(row: Pipeline) -> PipelineState | None:
    try:
        return row.state
    except ObjectDoesNotExist:
        return None  # Made with the first run or upload.


def _decision(row: TriggerDecision) -> dict[str, Any]:
    fields = ("id", "at", "started", "reason", "next_eligible_at")
    shown = {name: getattr(row, name) for name in fields}
    return shown | {"pipeline": row.pipeline.slug, "run": row.run.number if row.run else None}
