"""Tokens of machines, and the answers to one that comes too late."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils import timezone
from ninja.errors import HttpError
from ninja.security import HttpBearer

from pipelines.worker.protocol import HEADER, too_old
from tenants import scope
from tenants.machines import agents, machine_of, note_seen
from tenants.models import HostAgent, Machine


class _Bearer(HttpBearer):
    """`is_any_protocol`: for what a program that is too old needs, to become a new one."""

    kind = ""

    def __init__(self, is_any_protocol: bool = False) -> None:
        super().__init__()
        self.is_any_protocol = is_any_protocol

    def check_protocol(self, request: HttpRequest) -> None:
        """Only for whom the token opens something: 426 with what to do."""
        said = "" if self.is_any_protocol else too_old(request.headers.get(HEADER, ""), self.kind)
        if said:
            raise HttpError(426, said)


class Token(_Bearer):
    """`Authorization: Bearer rm_...`. Opens its agency's scope; an unknown or revoked token is 401."""

    kind = "retune-worker"

    def authenticate(self, request: HttpRequest, token: str) -> Machine | None:
        machine = machine_of(token)
        if machine is None:
            return None
        self.check_protocol(request)
        note_seen(machine, timezone.now())
        return machine


def machine_in(request: HttpRequest) -> Machine:
    machine: Machine = request.auth  # type: ignore[attr-defined]
    return machine


def agency_of(request: HttpRequest) -> scope.Entered:
    return scope.agency_scope(machine_in(request).agency_id)


class AgentToken(_Bearer):
    """`Authorization: Bearer ra_...`: the agent beside one host of one client. An unknown or revoked token is 401."""

    kind = "retune-agent"

    def authenticate(self, request: HttpRequest, token: str) -> HostAgent | None:
        agent = agents.agent_of(token)
        if agent is not None:
            self.check_protocol(request)
            agents.note_seen(agent, timezone.now())
        return agent


def agent_in(request: HttpRequest) -> HostAgent:
    agent: HostAgent = request.auth  # type: ignore[attr-defined]
    return agent
