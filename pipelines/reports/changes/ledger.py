"""What served a client at a time, and what changed between two: from its chain of acts, which is walked first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipelines.domain.change.serving import Act, Difference, Picture, differences, picture
from tenants import ledger, scope
from tenants.models import AuditEvent, Client

BEARING = ("member.", "agency.found", "freeze.")


@dataclass(frozen=True)
class Answer:
    """`chain` says whether the rows that the answer rests on are whole."""

    chain: ledger.Chain
    at: datetime
    picture: Picture


@dataclass(frozen=True)
class Changes:
    """`acts` are those after `since` and not after `until`, in order of time."""

    chain: ledger.Chain
    since: datetime
    until: datetime
    differences: list[Difference]
    acts: list[Act]


def served_at(client: Client, at: datetime, *, with_staff: bool = True) -> Answer:
    """`with_staff`: the agency's people and freezes too, which stand in a chain of their own."""
    events, chain = _events(client, with_staff)
    return Answer(chain, at, _picture(events, at))


def changed_between(client: Client, since: datetime, until: datetime, *, with_staff: bool = True) -> Changes:
    events, chain = _events(client, with_staff)
    found = differences(_picture(events, since), _picture(events, until))
    acts = sorted((_act(e) for e in events if since < e.at <= until), key=lambda act: (act.at, act.seq))
    return Changes(chain, since, until, found, acts)


def _events(client: Client, with_staff: bool) -> tuple[list[AuditEvent], ledger.Chain]:
    """The client's acts, walked; and those of the agency that bear on it. The first broken chain is the one told."""
    events = list(ledger.events_of(client.pk))
    chain = ledger.walk(events)
    if not with_staff:
        return events, chain
    with scope.agency_scope(client.agency_id):
        around = list(ledger.events_of(None))
    theirs = ledger.walk(around)
    bearing = [event for event in around if event.verb.startswith(BEARING)]
    return events + bearing, chain if chain.broken or not theirs.broken else theirs


def _picture(events: list[AuditEvent], at: datetime) -> Picture:
    return picture(_act(event) for event in events if event.at <= at)


def _act(event: AuditEvent) -> Act:
    return Act(event.seq, event.at, event.actor, event.verb, event.subject, event.detail)
