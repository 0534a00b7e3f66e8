"""From a notice to mailboxes: one for each person who wants it, at least once, tried again while a server is away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from pipelines import notifiers
from pipelines.models import Notice
from pipelines.notifiers import Message, Notifier, SendFailed
from pipelines.outbox import alarms, deliveries
from tenants.telling.choices import wanting

BACKOFF = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60))
MAX_ATTEMPTS = 27  # The last pause repeats: a mail server may be down for a day.

# For one address: its own way to have no more of them stands in it.
Composer = Callable[[Notice, str], Message]
_composers: list[Composer] = []


class NoComposer(RuntimeError):
    """Nothing is registered that turns a notice into a message."""


def register_composer(composer: Composer) -> None:
    """Called once at start by the shell, which knows pages, words and looks. The last registration counts."""
    _composers[:] = [composer]


def send_due(notice_id: int, now: datetime, composer: Composer | None = None, notifier: Notifier | None = None) -> bool:
    """Claims a due notice, composes it and hands it over; expects its client's scope. True when this call sent it.

    The claim moves `due_at` to the next attempt before anything is composed: neither a crash nor a notice that cannot
    be composed can block the others or be sent by two workers at once.
    """
    notice = _claim(notice_id, now)
    if notice is None:
        return False
    if not alarms.is_needed(notice):
        _close(notice, error="Nobody needed it any more.")
        return False
    if notice.kind in alarms.LATER:
        deliveries.spread(notice, now)
    return _hand_over(notice, composer or _registered(), notifier or notifiers.load("email"), now)


def _claim(notice_id: int, now: datetime) -> Notice | None:
    due = Notice.objects.select_related("pipeline", "client", "run").filter(pk=notice_id, due_at__lte=now).first()
    if due is None:
        return None
    attempts = due.attempts + 1
    retry_at = now + BACKOFF[min(attempts, len(BACKOFF)) - 1] if attempts < MAX_ATTEMPTS else None
    mine = Notice.objects.filter(pk=due.pk, client_id=due.client_id, attempts=due.attempts, due_at=due.due_at)
    if not mine.update(attempts=attempts, due_at=retry_at):
        return None
    due.attempts, due.due_at = attempts, retry_at
    return due


def _hand_over(notice: Notice, composer: Composer, notifier: Notifier, now: datetime) -> bool:
    """Whoever has it already does not get it again when the server went away between two of them."""
    row = Notice.objects.filter(pk=notice.pk, client_id=notice.client_id)
    try:
        for address in _wanted(notice):
            if address not in notice.delivered:
                notifier.send(composer(notice, address), [address])
                notice.delivered = [*notice.delivered, address]
                row.update(delivered=notice.delivered)
    except SendFailed as error:
        row.update(error=str(error))
        alarms.mail_refused(notice, str(error), now)
        return False
    _close(notice, sent_at=now, error="")
    if notice.delivered:
        alarms.mail_taken(notice, now)
    return True


def _wanted(notice: Notice) -> list[str]:
    return wanting(notice.agency_id, notice.client_id, notice.kind, alarms.recipients_of(notice))


def _close(notice: Notice, **fields: object) -> None:
    Notice.objects.filter(pk=notice.pk, client_id=notice.client_id).update(due_at=None, **fields)


def _registered() -> Composer:
    if not _composers:
        raise NoComposer("No composer is registered: call pipelines.outbox.register_composer at start.")
    return _composers[0]
