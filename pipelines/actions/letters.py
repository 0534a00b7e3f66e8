"""A letter that staff send to a client's people about a version that was taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from pipelines.models import Notice, Rollback
from tenants.models import AuditEvent

LETTER = "letter"


@transaction.atomic
def send_letter(
    rollback: Rollback, subject: str, body: str, recipients: Sequence[str], *, actor: str, now: datetime
) -> Notice:
    """Into the outbox, as it was written; every sending is a letter of its own."""
    key = f"{LETTER}:{rollback.pk}"
    count = (
        Notice.objects.select_for_update().filter(pipeline_id=rollback.pipeline_id, key__startswith=f"{key}:").count()
    )
    detail = {"rollback": rollback.pk, "subject": subject, "body": body, "by": actor}
    fields = {"kind": LETTER, "key": f"{key}:{count + 1}", "recipients": list(recipients), "detail": detail}
    made = Notice.of(rollback, pipeline_id=rollback.pipeline_id, created_at=now, due_at=now, **fields)
    made.save()
    facts = {"subject": subject, "recipients": list(recipients)}
    AuditEvent.append(rollback, actor, "letter.send", f"{rollback.pipeline.slug} rollback {rollback.pk}", now, facts)
    return made
