"""Presets of an agency: made, changed over all who follow, followed, left. Inside the agency's scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from tenants import scope
from tenants.following.changes import Applied, Change, Judge, Proposal, Saver, apply, name_of, propose
from tenants.following.fields import shared
from tenants.models import Agency, AuditEvent, Pipeline, SettingsPreset
from tenants.pipeline_settings import PipelineSettings


class StalePreset(ValueError):
    """Somebody changed the preset meanwhile; nothing was saved."""

    def __init__(self, preset: SettingsPreset) -> None:
        super().__init__(_("%(who)s changed this preset meanwhile. Look again.") % {"who": preset.changed_by})


@dataclass(frozen=True)
class Seen:
    """What a person looked at: the preset's version, and {pipeline: its revision}."""

    version: int
    bases: Mapping[int, int]


@transaction.atomic
def create_preset(
    agency: Agency, name: str, slug: str, body: Mapping[str, Any], actor: str, now: datetime
) -> SettingsPreset:
    """Raises IntegrityError where the agency has one of that short name."""
    stored = PipelineSettings.model_validate(dict(body)).model_dump(mode="json")
    made = SettingsPreset(agency=agency, name=name, slug=slug, body=stored, changed_by=actor, changed_at=now)
    made.save()
    AuditEvent.append(agency, actor, "preset.create", slug, now, {"name": name})
    return made


def followers(preset: SettingsPreset) -> list[Pipeline]:
    rows = Pipeline.objects.filter(preset=preset).select_related("client", "revision")
    return list(rows.order_by("client__name", "name"))


def proposals(preset: SettingsPreset, body: Mapping[str, Any], judge: Judge) -> list[Proposal]:
    """What the preset with this body would change in each pipeline that follows."""
    wanted = shared(body)
    return [propose(pipeline, wanted, judge, pipeline.own_fields) for pipeline in followers(preset)]


def changes_of(preset: SettingsPreset, body: Mapping[str, Any]) -> list[Change]:
    old, new = shared(preset.now_stored()), shared(body)
    return [(path, old.get(path), value) for path, value in sorted(new.items()) if old.get(path) != value]


def change_preset(preset: SettingsPreset, body: Mapping[str, Any], seen: Seen, saver: Saver, reason: str) -> Applied:
    """A new body, and a new revision in each pipeline that follows. Raises `StalePreset`."""
    stored = PipelineSettings.model_validate(dict(body)).model_dump(mode="json")
    with transaction.atomic():
        locked = SettingsPreset.objects.select_for_update().get(pk=preset.pk)
        if locked.version != seen.version:
            raise StalePreset(locked)
        changes = [list(change) for change in changes_of(locked, stored)]
        locked.body, locked.version = stored, seen.version + 1
        locked.changed_by, locked.changed_at = saver.actor, saver.now
        locked.save()
        detail = {"changes": changes, "reason": reason}
        AuditEvent.append(locked.agency, saver.actor, "preset.change", preset.slug, saver.now, detail)
    said = _("preset %(name)s: %(reason)s") % {"name": locked.name, "reason": reason or "–"}
    return apply(proposals(locked, stored, saver.judge), seen.bases, saver, said[:500])


def follow(pipeline: Pipeline, preset: SettingsPreset, saver: Saver, *, takes_all: bool, base: int) -> Applied:
    """From now on the pipeline follows. `takes_all`: at once in every field; else fields that differ stay its own."""
    wanted = shared(preset.now_stored())
    has = shared(pipeline.settings.model_dump(mode="json"))
    own = [] if takes_all else sorted(path for path, value in wanted.items() if has.get(path) != value)
    proposal = propose(pipeline, wanted, saver.judge, own)
    if proposal.base != base:
        return Applied(stale=[name_of(pipeline)])
    if proposal.refusal:
        return Applied(refused=[f"{name_of(pipeline)}: {proposal.refusal}"])
    said = _("follows the preset %(name)s") % {"name": preset.name}
    with transaction.atomic():
        _link(pipeline, preset.pk, own)
        _note(pipeline, saver.actor, "preset.follow", saver.now, {"preset": preset.slug, "own": own})
        done = apply([proposal], {pipeline.pk: base}, saver, said)
        transaction.set_rollback(bool(done.stale or done.refused))
    return done


@transaction.atomic
def leave(pipeline: Pipeline, *, actor: str, now: datetime) -> None:
    """Its settings stay as they are; the preset's changes no longer reach it."""
    _link(pipeline, None, [])
    _note(pipeline, actor, "preset.leave", now, {})


def _link(pipeline: Pipeline, preset_id: int | None, own: list[str]) -> None:
    pipeline.preset_id, pipeline.own_fields = preset_id, own
    pipeline.save(update_fields=["preset", "own_fields"])


def _note(pipeline: Pipeline, actor: str, verb: str, now: datetime, detail: dict[str, Any]) -> None:
    with scope.client_scope(pipeline.client_id, pipeline.agency_id):
        AuditEvent.append(pipeline, actor, verb, pipeline.slug, now, detail)
