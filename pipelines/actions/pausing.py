"""Pausing a pipeline: nothing starts until it is resumed. Runs that are live go on; a rollback is always possible."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from tenants.models import AuditEvent, Pipeline


@transaction.atomic
def pause(pipeline: Pipeline, *, actor: str, reason: str, now: datetime) -> None:
    """From now on neither a trigger nor a person starts a run."""
    row = _locked(pipeline, reason)
    if row.is_paused:
        raise ActionRefused(_("It is %(pause)s. Resume it first.") % {"pause": row.pause})
    _change(row, "pipeline.pause", actor, reason, now, is_paused=True, paused_by=actor, pause_reason=reason)


@transaction.atomic
def resume(pipeline: Pipeline, *, actor: str, reason: str, now: datetime) -> None:
    """Triggers are looked at again on the next tick; what fell due meanwhile starts one run."""
    row = _locked(pipeline, reason)
    if not row.is_paused:
        raise ActionRefused(_("The pipeline is not paused."))
    _change(row, "pipeline.resume", actor, reason, now, is_paused=False, paused_by="", pause_reason="")


def refuse_paused(pipeline: Pipeline) -> None:
    """Raises where the pipeline is paused, with the way out."""
    if pipeline.is_paused:
        raise ActionRefused(
            _("The pipeline is %(pause)s. Resume it on its page, or by the API, then start the run.")
            % {"pause": pipeline.pause}
        )


def _locked(pipeline: Pipeline, reason: str) -> Pipeline:
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    row: Pipeline = Pipeline.objects.select_for_update().get(pk=pipeline.pk)
    return row


def _change(row: Pipeline, verb: str, actor: str, reason: str, now: datetime, **fields: Any) -> None:
    for name, value in (fields | {"paused_at": now if fields["is_paused"] else None}).items():
        setattr(row, name, value)
    row.save(update_fields=[*fields, "paused_at"])  # Saving it has the triggers look at it on the next tick.
    AuditEvent.append(row, actor, verb, row.slug, now, {"reason": reason})
