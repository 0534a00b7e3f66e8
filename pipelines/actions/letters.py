"""A letter that staff send to a client's people about a version that was taken back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.models import Notice, Rollback
from tenants.models import AuditEvent

LETTER = "letter"


@dataclass(frozen=True)
class Letter:
    """As it was written. `seen`: how many letters about the rollback had been sent when its writer saw the page."""

    subject: str
    body: str
    recipients: tuple[str, ...]
    seen: int


def letters_about(rollback: Rollback) -> QuerySet[Notice]:
    """The newest first."""
    return Notice.objects.filter(
        pipeline_id=rollback.pipeline_id, kind=LETTER, key__startswith=f"{LETTER}:{rollback.pk}:"
    )


@transaction.atomic
def send_letter(rollback: Rollback, letter: Letter, *, actor: str, now: datetime) -> Notice:
    """Into the outbox; every sending is a letter of its own. Raises `ActionRefused` where one went out that its writer
    has not seen: a second click, or somebody else's."""
    Rollback.objects.select_for_update().get(pk=rollback.pk)  # The other click waits here, and then counts this one.
    count = letters_about(rollback).count()
    if count != letter.seen:
        raise ActionRefused(_("A letter about this was sent a moment ago. Send this one too only if you mean it."))
    subject, recipients = letter.subject, list(letter.recipients)
    detail = {"rollback": rollback.pk, "subject": subject, "body": letter.body, "by": actor}
    fields = {"kind": LETTER, "key": f"{LETTER}:{rollback.pk}:{count + 1}", "recipients": recipients, "detail": detail}
    made = Notice.of(rollback, pipeline_id=rollback.pipeline_id, created_at=now, due_at=now, **fields)
    made.save()
    facts = {"subject": subject, "recipients": recipients}
    AuditEvent.append(rollback, actor, "letter.send", f"{rollback.pipeline.slug} rollback {rollback.pk}", now, facts)
    return made
