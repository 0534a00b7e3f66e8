"""Tokens of machines, and the answers to one that comes too late."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from tenants import scope
from tenants.machines import agents, machine_of, note_seen
from tenants.models import HostAgent, Machine


class Token(HttpBearer):
    """`Authorization: Bearer rm_...`. Opens its agency's scope; an unknown or revoked token is 401."""

    def authenticate(self, request: HttpRequest, token: str) -> Machine | None:
        machine = machine_of(token)
        if machine is None:
            return None
        note_seen(machine, timezone.now())
        return machine


def machine_in(request: HttpRequest) -> Machine:
    machine: Machine = request.auth  # type: ignore[attr-defined]
    return machine


def agency_of(request: HttpRequest) -> scope.Entered:
    return scope.agency_scope(machine_in(request).agency_id)


class AgentToken(HttpBearer):
    """`Authorization: Bearer ra_...`: the agent beside one host of one client. An unknown or revoked token is 401."""

    def authenticate(self, request: HttpRequest, token: str) -> HostAgent | None:
        agent = agents.agent_of(token)
        if agent is not None:
            agents.note_seen(agent, timezone.now())
        return agent


def agent_in(request: HttpRequest) -> HostAgent:
    agent: HostAgent = request.auth  # type: ignore[attr-defined]
    return agent
