"""What people say of answers: feedback on one, found by its request id, and votes in a blind review."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, Unpack

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.models import BlindVote, Exchange, Feedback, Run
from pipelines.models.blind_vote import Choice
from tenants.models import AuditEvent, Client


class Said(TypedDict, total=False):
    is_good: bool
    correct_answer: str
    comment: str


@transaction.atomic
def give_feedback(client: Client, request_id: str, *, actor: str, now: datetime, **said: Unpack[Said]) -> Feedback:
    """Raises ActionRefused when no answer of this client has that id."""
    exchange = Exchange.objects.filter(client=client, request_id=request_id).first()
    if exchange is None:
        raise ActionRefused(
            _("No answer with request id %(id)s. Ids are kept for some days only.") % {"id": request_id}
        )
    if any("\x00" in value for value in said.values() if isinstance(value, str)):
        raise ActionRefused(_("The text holds a NUL character, which no database keeps. Send it without."))
    row = Feedback.of(exchange, exchange=exchange, sent_by=actor, at=now, **said)
    row.save()
    detail = {"is_good": row.is_good, "pipeline": exchange.pipeline_id}
    AuditEvent.append(exchange, actor, "feedback.give", request_id, now, detail)
    return row


@transaction.atomic
def vote(run: Run, *, case: str, choice: Choice, actor: str, now: datetime) -> bool:
    """A person's preference for one case of a run; False where that person has voted on it before."""
    fields = {"agency_id": run.agency_id, "client_id": run.client_id, "choice": choice, "created_at": now}
    _row, is_new = BlindVote.objects.get_or_create(run=run, case_key=case, voter=actor, defaults=fields)
    return bool(is_new)
