"""From a notice to mailboxes: one for each person who wants it, at least once, tried again while a server is away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from django.db import transaction

from pipelines import notifiers
from pipelines.models import Notice
from pipelines.notifiers import Message, Notifier, SendFailed
from pipelines.outbox import alarms, deliveries
from tenants import crossing
from tenants.models import AuditEvent
from tenants.telling.choices import wanting

BACKOFF = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60))
MAX_ATTEMPTS = 27  # The last pause repeats: a mail server may be down for a day.
# In `detail`: {address: why it is not tried any more}, and how many tries in which nothing was taken met no server.
REFUSED, AWAY = "refused", "away"
REFUSE = "mail.refuse"  # In the ledger: an address that does not hear of something.

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
        _note(notice, due_at=None, error="Nobody needed it any more.")
        return False
    if notice.kind in alarms.LATER:
        deliveries.spread(notice, now)
    return _hand_over(notice, composer or _registered(), notifier or notifiers.load("email"), now)


def late(since: datetime, most: int) -> int:
    """How many mails were first due by `since` and reached nobody, up to `most`: no server was met, or nobody tried.

    A reminder is due long after it was written, so this follows from the tries: `due_at` was put off by their pauses.
    """
    due_by = (since + put_off for put_off in accumulate(BACKOFF, initial=timedelta()))
    return len(crossing.ask("late_notices", limit=most, **dict(zip(crossing.TRIES, due_by, strict=True))))


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
    """Each address by itself, and none twice: one that is refused keeps nobody else from hearing."""
    had, again, is_away = len(notice.delivered), {}, False
    for address in _in_turn(notice):
        try:
            notifier.send(composer(notice, address), [address])
        except SendFailed as failed:
            is_away = failed.is_away
            if failed.is_permanent:
                _give_up(notice, address, str(failed), now)
            else:
                again[address] = str(failed)
        else:
            _note(notice, delivered=[*notice.delivered, address])
        if is_away:
            break
    if len(notice.delivered) > had:
        alarms.mail_taken(notice, now)
    _met_a_server(notice, not is_away or len(notice.delivered) > had, "; ".join(again.values()), now)
    return _settle(notice, again, now)


def _met_a_server(notice: Notice, is_met: bool, said: str, now: datetime) -> None:
    """Tries in a row that met none are counted; what a server that is met refuses is one mailbox."""
    if not is_met:
        _note(notice, detail=notice.detail | {AWAY: notice.detail.get(AWAY, 0) + 1})
        alarms.mail_refused(notice, notice.detail[AWAY], said, now)
    elif AWAY in notice.detail:
        _note(notice, detail={name: value for name, value in notice.detail.items() if name != AWAY})


def _settle(notice: Notice, again: dict[str, str], now: datetime) -> bool:
    """Closed when nobody is left, or when that was the last try; else due again, saying who is left and why."""
    if notice.due_at is None:
        for address in _left(notice):
            _give_up(notice, address, again.get(address) or "; ".join(again.values()), now)
    refused = notice.detail.get(REFUSED, {})
    error = "\n".join(f"{address}: {said}" for address, said in (refused | again).items())
    if _left(notice):
        _note(notice, error=error)
        return False
    is_told = bool(notice.delivered) or not refused
    _note(notice, due_at=None, sent_at=now if is_told else None, error=error)
    return is_told


@transaction.atomic
def _give_up(notice: Notice, address: str, said: str, now: datetime) -> None:
    """No more tries for this address: on the notice, and in the ledger, where staff find it."""
    _note(notice, detail=notice.detail | {REFUSED: notice.detail.get(REFUSED, {}) | {address: said}})
    told = {"kind": notice.kind, "pipeline": notice.pipeline.slug, "said": said.replace(address, "…")}
    AuditEvent.append(notice, deliveries.ACTOR, REFUSE, address, now, told)


def _left(notice: Notice) -> list[str]:
    done = {*notice.delivered, *notice.detail.get(REFUSED, {})}
    return [address for address in _wanted(notice) if address not in done]


def _in_turn(notice: Notice) -> list[str]:
    """Each try begins with another: an address at which a server breaks off cannot always be the first."""
    left = _left(notice)
    first = (notice.attempts - 1) % len(left) if left else 0
    return left[first:] + left[:first]


def _wanted(notice: Notice) -> list[str]:
    return wanting(notice.agency_id, notice.client_id, notice.kind, alarms.recipients_of(notice))


def _note(notice: Notice, **fields: Any) -> None:
    Notice.objects.filter(pk=notice.pk, client_id=notice.client_id).update(**fields)
    for name, value in fields.items():
        setattr(notice, name, value)


def _registered() -> Composer:
    if not _composers:
        raise NoComposer("No composer is registered: call pipelines.outbox.register_composer at start.")
    return _composers[0]
