"""Walking a chain of acts: whether it is whole, and which row is the first that is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from tenants.models import AuditEvent
from tenants.models.audit_event import GENESIS

CHUNK = 1000


@dataclass(frozen=True)
class Chain:
    """`broken` says which row is the first that does not fit, and why; empty when the chain is whole.

    `head` is the last row's digest. A chain does not show that its end was cut off; a head noted elsewhere does.
    """

    count: int
    head: str
    broken: str = ""


def walk(events: Iterable[AuditEvent]) -> Chain:
    """Checks numbering, links and digests of one client's acts, in order of `seq`."""
    count, head = 0, GENESIS
    for event in events:
        broken = _flaw(event, count + 1, head)
        if broken:
            return Chain(count, head, broken)
        count, head = event.seq, event.digest
    return Chain(count, head)


def _flaw(event: AuditEvent, seq: int, previous: str) -> str:
    words = {"seq": event.seq, "expected": seq, "at": event.at.isoformat()}
    if event.seq != seq:
        return _("row %(expected)s is missing before row %(seq)s of %(at)s") % words
    if event.previous != previous:
        return _("row %(seq)s of %(at)s does not follow the row before it") % words
    if not event.is_whole:
        return _("row %(seq)s of %(at)s was changed") % words
    return ""


def events_of(client_id: int | None) -> Iterator[AuditEvent]:
    """A client's acts, or (None) those in the agency itself, inside the scope that may see them.

    In chunks by number: a server-side cursor would outlive the transaction that carries the scope.
    """
    rows = AuditEvent.objects.filter(client_id=client_id).order_by("seq")
    last = -1
    while chunk := list(rows.filter(seq__gt=last)[:CHUNK]):
        yield from chunk
        last = chunk[-1].seq
