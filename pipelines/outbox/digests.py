"""The digest of a week: one mail to each person who wants it, on Mondays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from pipelines import notifiers
from pipelines.notifiers import Message, Notifier, SendFailed
from pipelines.outbox.deliveries import ACTOR
from pipelines.outbox.mails import REFUSE
from tenants.models import AuditEvent, MailChoice
from tenants.telling.choices import next_digest

# A server that is away is met again within the day; a week that could not be mailed is followed by the next.
AGAIN_AFTER = timedelta(hours=1)
WEEK = timedelta(days=7)

# None where there is nothing to tell, as for somebody who left the agency.
Digester = Callable[[MailChoice, datetime, datetime], Message | None]
_digesters: list[Digester] = []


def register_digester(digester: Digester) -> None:
    """Called once at start by the shell. The last registration counts."""
    _digesters[:] = [digester]


def send_due(choice_id: int, now: datetime, notifier: Notifier | None = None) -> bool:
    """Claims a due digest by putting it off before anything is made; inside the agency's scope."""
    row = MailChoice.objects.filter(pk=choice_id, due_at__lte=now).first()
    if row is None:
        return False
    claimed = MailChoice.objects.filter(pk=row.pk, due_at=row.due_at)
    if not claimed.update(due_at=min(now + AGAIN_AFTER, next_digest(now))):
        return False
    message = _digesters[0](row, max(row.digest_at or now - WEEK, now - 2 * WEEK), now)
    mine = MailChoice.objects.filter(pk=row.pk, due_at__isnull=False)
    if message is None:
        mine.update(due_at=None)
        return False
    try:
        (notifier or notifiers.load("email")).send(message, [row.address])
    except SendFailed as failed:
        if failed.is_permanent:
            _give_up(row, failed, now)
        return False
    mine.update(due_at=next_digest(now), digest_at=now)
    return True


@transaction.atomic
def _give_up(row: MailChoice, failed: SendFailed, now: datetime) -> None:
    """This week's is not tried again; the next one is, for the mailbox may be there by then."""
    MailChoice.objects.filter(pk=row.pk, due_at__isnull=False).update(due_at=next_digest(now))
    said = {"kind": "digest", "said": str(failed).replace(row.address, "…")}
    AuditEvent.append(row, ACTOR, REFUSE, row.address, now, said)
