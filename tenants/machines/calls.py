"""Calls of hosts through their agents: written down by who asks, claimed and answered by the agent, taken away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tenants import scope
from tenants.models import Host, HostAgent, HostCall

# Nobody waits for an answer any more, and its asker ended before it could take the row away.
FORGOTTEN = timedelta(minutes=10)


@dataclass(frozen=True)
class Wanted:
    """A request in the words of HTTP; of an upload only which file, by its SHA-256 in bare hex."""

    method: str
    path: str
    body: bytes = b""
    digest: str = ""
    size_bytes: int = 0


def ask(host: Host, wanted: Wanted, now: datetime, patience: timedelta) -> HostCall | None:
    """The call, waiting; None where the host's agent is gone for good."""
    agent = HostAgent.objects.filter(host=host, revoked_at=None).first()
    if agent is None:
        return None
    HostCall.objects.filter(agent_row=agent, ends_at__lt=now - FORGOTTEN).delete()
    call = HostCall.of(agent, agent_row=agent, created_at=now, ends_at=now + patience, **vars(wanted))
    call.save()
    return call


def claim(agent: HostAgent, hand: str, now: datetime) -> HostCall | None:
    """The oldest that waits, now the hand's. One that it has already comes first: the answer was lost on the way."""
    with scope.client_scope(agent.client_id, agent.agency_id):
        live = HostCall.objects.filter(agent_row=agent, ends_at__gt=now, status=None)
        mine = live.filter(hand=hand, claimed_at__isnull=False).first()
        if mine is not None:
            return mine
        for call in live.filter(claimed_at=None)[:20]:
            if live.filter(pk=call.pk, claimed_at=None).update(claimed_at=now, heard_at=now, hand=hand):
                return call
    return None


def hear(agent: HostAgent, pk: int, now: datetime, done_bytes: int) -> bool:
    """Whether somebody still waits for the answer."""
    return _mine(agent, pk, heard_at=now, done_bytes=done_bytes)


def answer(agent: HostAgent, pk: int, now: datetime, **said: Any) -> bool:
    """`said`: status, content_type, answer. False: nobody waits for it."""
    return _mine(agent, pk, heard_at=now, **said)


def _mine(agent: HostAgent, pk: int, **changes: Any) -> bool:
    with scope.client_scope(agent.client_id, agent.agency_id):
        mine = HostCall.objects.filter(pk=pk, agent_row=agent, claimed_at__isnull=False, status=None)
        return bool(mine.update(**changes))
