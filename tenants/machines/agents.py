"""Agents beside hosts that only they can reach: added with a token that is shown once, renewed, revoked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from tenants import actions, crossing, scope
from tenants.machines import MOST_SAID, SEEN_PRECISION
from tenants.models import AuditEvent, Client, Host, HostAgent
from tenants.models.host import AGENT
from tenants.models.machine import digest_of
from tenants.models.machine.agent import PREFIX_CHARS

PAST_SESSIONS = 4


def address_of(name: str) -> str:
    """What stands for the host's address: no name under .invalid ever resolves (RFC 6761)."""
    return f"http://{name}.agent.invalid"


@transaction.atomic
def add_agent_host(client: Client, name: str, *, actor: str, now: datetime) -> tuple[Host, str]:
    """A host behind its agent and the agent's token, which is told this once. In the client's scope."""
    host = actions.add_host(client, name, address_of(name), actor, now, kind=AGENT)
    token, named = _token()
    HostAgent.of(host, host=host, created_at=now, **named).save()
    return host, token


@transaction.atomic
def renew_token(host: Host, *, actor: str, reason: str, now: datetime) -> str:
    """A new token; the old one, if there is any, opens nothing from here on."""
    token, named = _token()
    if HostAgent.objects.filter(host=host).exists():
        HostAgent.objects.filter(host=host).update(revoked_at=None, **named)
    else:  # Came with its client from another installation.
        HostAgent.of(host, host=host, created_at=now, **named).save()
    detail = {"token": f"ra_{named['prefix']}", "reason": reason}
    AuditEvent.append(host, actor, "host.agent.renew", host.name, now, detail)
    return token


@transaction.atomic
def revoke_agent(host: Host, *, actor: str, reason: str, now: datetime) -> None:
    """It is told nothing and asked nothing any more."""
    HostAgent.objects.filter(host=host).update(revoked_at=now)
    AuditEvent.append(host, actor, "host.agent.revoke", host.name, now, {"reason": reason})


def _token() -> tuple[str, dict[str, str]]:
    prefix = secrets.token_hex(PREFIX_CHARS // 2)
    token = f"ra_{prefix}_{secrets.token_urlsafe(32)}"
    return token, {"prefix": prefix, "digest": digest_of(token)}


def agent_of(token: str) -> HostAgent | None:
    """The agent with this token, unless it is unknown or revoked. Found by digest: no text is compared."""
    found = crossing.ask("agent_by_digest", digest=digest_of(token))
    if not found:
        return None
    client_id, pk = found[0]
    with scope.client_scope(client_id):
        return HostAgent.objects.select_related("host", "client").filter(pk=pk).first()


def greet(agent: HostAgent, now: datetime, said: Mapping[str, Any], at: datetime | None = None) -> None:
    """What it says of itself, with what only we can tell: how far its clock is off, and whether there are two of it.

    A program names its session, new at each start. One that speaks again after a later one did runs beside it.
    """
    before, session = agent.said, said.get("session", "")
    past = [one for one in before.get("past", []) if isinstance(one, str)]
    told = dict(said) | {"past": past, "doubled_at": before.get("doubled_at", "")}
    if session and session != before.get("session"):
        told["past"] = [one for one in [before.get("session", ""), *past] if one and one != session][:PAST_SESSIONS]
        if session in past:
            told["doubled_at"] = now.isoformat()
    if at is not None:
        told["clock_s"] = round((at - now).total_seconds(), 1)
    note_seen(agent, now, told)


def note_seen(agent: HostAgent, now: datetime, said: Mapping[str, Any] | None = None) -> None:
    """At most one write in ten seconds, unless it says something of itself."""
    changes: dict[str, Any] = {"last_seen_at": now}
    if said is not None:
        changes["said"] = dict(list(said.items())[:MOST_SAID])
    elif agent.last_seen_at is not None and now - agent.last_seen_at < SEEN_PRECISION:
        return
    with scope.client_scope(agent.client_id, agent.agency_id):
        HostAgent.objects.filter(pk=agent.pk).update(**changes)
