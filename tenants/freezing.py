"""Freezing a pipeline, a client or the whole agency, and lifting it; both stand in the ledger."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from tenants import scope
from tenants.models import Agency, AuditEvent, Client, Freeze, Pipeline

Place = Agency | Client | Pipeline
REASON_CHARS = 500


class FreezeRefused(ValueError):
    """A freeze cannot be set or lifted so: the sentence says why. Nothing was changed."""


@transaction.atomic
def freeze(place: Place, *, actor: str, reason: str, now: datetime, ends_at: datetime | None = None) -> Freeze:
    """From now until it is lifted, or `ends_at`: no version of the place is put on a host or gets more traffic."""
    _refuse_reason(reason)
    if ends_at is not None and ends_at <= now:
        raise FreezeRefused(_("A freeze ends in the future, or when somebody lifts it."))
    client = place if isinstance(place, Client) else place.client if isinstance(place, Pipeline) else None
    agency_id = place.pk if isinstance(place, Agency) else place.agency_id
    with _scope_of(agency_id, client):
        row = Freeze(agency_id=agency_id, client=client, pipeline=place if isinstance(place, Pipeline) else None)
        row.actor, row.reason, row.created_at, row.ends_at = actor, reason.strip(), now, ends_at
        row.save()
        detail = {"reason": row.reason, "ends_at": ends_at.isoformat() if ends_at else None}
        AuditEvent.append(_owner(row), actor, "freeze.set", row.place, now, detail)
    return row


def _refuse_reason(reason: str) -> None:
    if not reason.strip():
        raise FreezeRefused(_("Say why: the reason is kept in the ledger."))
    if len(reason.strip()) > REASON_CHARS:
        raise FreezeRefused(_("A reason has at most %(most)s characters.") % {"most": REASON_CHARS})


@transaction.atomic
def lift(row: Freeze, *, actor: str, reason: str, now: datetime) -> None:
    """Rollouts that wait for it go on at their next look, within two minutes."""
    _refuse_reason(reason)
    with _scope_of(row.agency_id, row.client):
        row = Freeze.objects.select_for_update().get(pk=row.pk)
        if not row.is_in_force(now):
            raise FreezeRefused(_("This freeze has ended already."))
        row.lifted_at, row.lifted_by, row.lift_reason = now, actor, reason.strip()
        row.save(update_fields=["lifted_at", "lifted_by", "lift_reason"])
        AuditEvent.append(_owner(row), actor, "freeze.lift", row.place, now, {"freeze": row.pk, "reason": reason})


def in_force(rows: QuerySet[Freeze], now: datetime) -> QuerySet[Freeze]:
    return rows.filter(Q(ends_at=None) | Q(ends_at__gt=now), lifted_at=None)


def freeze_of(pipeline: Pipeline, now: datetime) -> Freeze | None:
    """The freeze that holds this pipeline's rollouts, the widest first."""
    # The agency's own rows are invisible in a client's scope.
    with scope.agency_scope(pipeline.agency_id):
        return _widest(pipeline.client_id, pipeline.pk, now)


def _widest(client_id: int | None, pipeline_id: int | None, now: datetime) -> Freeze | None:
    """Of those that hold the whole of this place; inside the agency's scope."""
    of_client, of_pipeline = Q(client=client_id, pipeline=None), Q(pipeline=pipeline_id, pipeline__isnull=False)
    rows = in_force(Freeze.objects.select_related("client", "pipeline"), now)
    widest = [F(name).asc(nulls_first=True) for name in ("client", "pipeline")]
    return rows.filter(Q(client=None) | of_client | of_pipeline).order_by(*widest).first()


def lifted_words(row: Freeze, now: datetime) -> str:
    """What follows for rollouts now that it is lifted: another freeze may hold its place, or a part of it."""
    with scope.agency_scope(row.agency_id):
        other = _widest(row.client_id, row.pipeline_id, now)
        if other is not None:
            words = {"place": other.place, "words": other.words}
            return _("Lifted. Rollouts wait all the same: %(place)s is %(words)s") % words
        inside = Freeze.objects.filter(Q() if row.client_id is None else Q(client=row.client_id))
        if row.pipeline_id is None and in_force(inside, now).exists():
            return _("Lifted. What waited goes on within two minutes, but not where another freeze holds it.")
    return _("Lifted. What waited goes on within two minutes.")


def _scope_of(agency_id: int, client: Client | None) -> scope.Entered:
    return scope.agency_scope(agency_id) if client is None else scope.client_scope(client.pk, agency_id)


def _owner(row: Freeze) -> Agency | Freeze:
    return row if row.client_id is not None else Agency.objects.get(pk=row.agency_id)
