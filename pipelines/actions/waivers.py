"""Waiving a blocking gate for a while, and taking that back."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.actions.two_people import confirmed_by, second_for
from pipelines.models import Waiver
from pipelines.records.waivers import in_force
from tenants.models import AuditEvent, Pipeline
from tenants.people.four_eyes import Topic

LONGEST = timedelta(days=90)


@transaction.atomic
def waive_gate(
    pipeline: Pipeline, gate: str, *, actor: str, reason: str, expires_at: datetime, now: datetime
) -> Waiver:
    """From now until `expires_at` the verdicts of this gate are shown and do not decide; `actor` answers for it."""
    check_waiver(pipeline, gate, reason=reason, expires_at=expires_at, now=now)
    second = second_for(pipeline, Topic.THRESHOLDS, actor)
    fields = {"gate": gate, "approver": actor, "reason": reason.strip(), "created_at": now, "expires_at": expires_at}
    row = Waiver.of(pipeline, pipeline=pipeline, **fields)
    row.save()
    detail = {"reason": reason, "expires_at": expires_at.isoformat()} | confirmed_by(second)
    AuditEvent.append(pipeline, actor, "gate.waive", f"{pipeline.slug}/{gate}", now, detail)
    return row


def check_waiver(pipeline: Pipeline, gate: str, *, reason: str, expires_at: datetime, now: datetime) -> None:
    """Raises `ActionRefused` where there is nothing to waive, or not so."""
    _must_say_why(reason)
    known = {g.name: g for g in pipeline.settings.gates}
    if gate not in known:
        raise ActionRefused(
            _("There is no gate %(gate)s. The gates are: %(known)s.") % {"gate": gate, "known": ", ".join(known)}
        )
    if known[gate].effect != "block" or known[gate].shadow:
        raise ActionRefused(_("Gate %(gate)s does not block: there is nothing to waive.") % {"gate": gate})
    if not now < expires_at <= now + LONGEST:
        raise ActionRefused(_("A waiver ends in the future, at most %(days)s days from now.") % {"days": LONGEST.days})


@transaction.atomic
def withdraw_waiver(waiver: Waiver, *, actor: str, reason: str, now: datetime) -> None:
    """The gate decides again from the next verdict on, unless another waiver holds; those given meanwhile stay."""
    _must_say_why(reason)
    row = Waiver.objects.select_for_update().get(pk=waiver.pk)
    if not row.is_in_force(now):
        raise ActionRefused(_("This waiver has ended already."))
    row.withdrawn_at, row.withdrawn_by, row.withdrawn_reason = now, actor, reason.strip()
    row.save(update_fields=["withdrawn_at", "withdrawn_by", "withdrawn_reason"])
    subject = f"{row.pipeline.slug}/{row.gate}"
    AuditEvent.append(row, actor, "gate.unwaive", subject, now, {"waiver": row.pk, "reason": reason})


def withdrawn_words(waiver: Waiver, now: datetime) -> str:
    """What follows for the gate now that this waiver is withdrawn: another one may hold."""
    other = in_force(waiver.pipeline_id, now).get(waiver.gate)
    if other is None:
        return _("Withdrawn. The gate decides again.")
    return _("Withdrawn. The gate does not decide all the same: it is %(words)s") % {"words": other.words}


def _must_say_why(reason: str) -> None:
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
