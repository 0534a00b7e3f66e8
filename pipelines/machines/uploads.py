"""The file of an upload to a host behind its agent: for whoever holds the ticket of that very call."""

from __future__ import annotations

from pathlib import Path

from django.core import signing

from pipelines.artifacts import store_of
from pipelines.machines.inputs import TicketRefused
from tenants import scope
from tenants.models import HostAgent, HostCall

__all__ = ["TicketRefused", "opened", "ticket"]

SALT = "agent upload"


def ticket(agent: HostAgent, call: HostCall) -> str:
    """Opens the call's file while somebody waits for it: the address needs no age of its own."""
    return signing.dumps({"a": agent.agency_id, "c": agent.client_id, "g": agent.pk, "k": call.pk}, salt=SALT)


def opened(text: str) -> tuple[Path, int]:
    """The file and its size. Raises `TicketRefused`."""
    try:
        told = signing.loads(text, salt=SALT)
    except signing.BadSignature as bad:
        raise TicketRefused from bad
    with scope.client_scope(told["c"], told["a"]):
        calls = HostCall.objects.filter(pk=told["k"], agent_row=told["g"], agent_row__revoked_at=None, status=None)
        call = calls.first()
        if call is None or not call.digest:
            raise TicketRefused
        return store_of(told["c"]).path(call.digest), call.size_bytes
