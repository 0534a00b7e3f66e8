"""Sources and uploads: how far one is trusted, and taking all of it back; each reversible, each in the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from pipelines.actions.batches import look_soon
from pipelines.actions.refused import ActionRefused
from pipelines.models import Batch, DatasetVersion, Example, ExampleState, Source, Trust
from tenants.models import AuditEvent, Pipeline

OF_TWINS = ("conflict", "near_duplicate")
BACK: dict[str, Any] = {"withdrawn_at": None, "withdrawn_by": "", "withdrawn_reason": ""}


@transaction.atomic
def change_source(source: Source, *, trust: str, max_share: float | None, actor: str, now: datetime) -> None:
    """Rows that no dataset holds follow a change of trust at once."""
    before = {"trust": source.trust, "max_share": source.max_share}
    source.trust, source.max_share = Trust(trust), max_share
    source.save(update_fields=["trust", "max_share"])
    rows = Example.objects.filter(batch__origin=source, dataset__isnull=True)
    if source.trust == Trust.LOW:
        rows.filter(state=ExampleState.READY, judged_in__isnull=True).update(state=ExampleState.REVIEW, rule="trust")
    else:
        rows.filter(state=ExampleState.REVIEW, rule="trust").update(state=ExampleState.READY, rule="")
    detail = {"before": before, "trust": source.trust, "max_share": max_share}
    AuditEvent.append(source, actor, "source.change", f"{source.pipeline.slug}/{source.name}"[:200], now, detail)
    look_soon(source.pipeline, now)


@transaction.atomic
def withdraw(what: Batch | Source, *, actor: str, reason: str, now: datetime) -> int:
    """None of its rows trains from now on; what they are is kept. Returns how many. Models keep what they have learnt:
    see `reports.data.provenance`.
    """
    _say_why(reason)
    what.refresh_from_db()
    if what.withdrawn_at is not None:
        raise ActionRefused(_("It is withdrawn already."))
    if isinstance(what, Batch) and not what.is_complete:
        raise ActionRefused(_("It is still being read. Wait for its end, then undo it."))
    what.withdrawn_at, what.withdrawn_by, what.withdrawn_reason = now, actor, reason
    what.save(update_fields=list(BACK))
    rows = _rows(what).exclude(state__in=(ExampleState.WITHDRAWN, ExampleState.EVALUATION))
    changed: int = rows.update(before=F("state"), state=ExampleState.WITHDRAWN)
    _look_again_at_twins(what.pipeline_id)
    _record(what, "withdraw", {"rows": changed, "reason": reason}, actor=actor, now=now)
    return changed


@transaction.atomic
def bring_back(what: Batch | Source, *, actor: str, reason: str, now: datetime) -> int:
    """Every row is what it was before; an upload that was undone by itself stays so when its source comes back.

    Rows that a run passed over meanwhile are new: the next one holds them against what came in between.
    """
    _say_why(reason)
    what.refresh_from_db()
    if what.withdrawn_at is None:
        raise ActionRefused(_("It is not withdrawn."))
    if isinstance(what, Batch) and what.origin is not None and what.origin.withdrawn_at is not None:
        raise ActionRefused(_("Its whole source is withdrawn. Bring the source back first."))
    later = DatasetVersion.objects.filter(pipeline_id=what.pipeline_id, created_at__gte=what.withdrawn_at)
    for name, value in BACK.items():
        setattr(what, name, value)
    what.save(update_fields=list(BACK))
    rows = _rows(what).filter(state=ExampleState.WITHDRAWN, batch__withdrawn_at__isnull=True)
    ready = rows.filter(before=ExampleState.READY)
    missed = ready if later.exists() else ready.filter(dataset__isnull=True)
    missed.update(dataset=None, judged_in=None)
    changed: int = rows.update(state=F("before"), before="")
    _look_again_at_twins(what.pipeline_id)
    _record(what, "bring_back", {"rows": changed, "reason": reason}, actor=actor, now=now)
    return changed


def _rows(what: Batch | Source) -> QuerySet[Example]:
    chosen = {"batch": what} if isinstance(what, Batch) else {"batch__origin": what}
    return Example.objects.filter(pipeline_id=what.pipeline_id, **chosen)


def _look_again_at_twins(pipeline_id: int) -> None:
    """What was set aside only because rows were there that are withdrawn by now is as new."""
    aside = Q(state=ExampleState.DUPLICATE) | Q(state=ExampleState.QUARANTINED, rule__in=OF_TWINS)
    rows = Example.objects.filter(aside, pipeline_id=pipeline_id, twin__state=ExampleState.WITHDRAWN)
    rows.update(state=ExampleState.READY, rule="", detail="", twin=None, judged_in=None)


def _say_why(reason: str) -> None:
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))


def _record(what: Batch | Source, verb: str, detail: dict[str, Any], *, actor: str, now: datetime) -> None:
    pipeline: Pipeline = what.pipeline
    kind, name = ("batch", f" batch {what.pk}") if isinstance(what, Batch) else ("source", f"/{what.name}")
    AuditEvent.append(pipeline, actor, f"{kind}.{verb}", f"{pipeline.slug}{name}"[:200], now, detail)
    look_soon(pipeline, now)
