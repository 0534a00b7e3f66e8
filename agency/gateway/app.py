"""The gateway of an installation: the data plane on its database, obeying orders at its socket, told to agents."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from agency.gateway.limits import Limits
from agency.gateway.meter import records
from agency.gateway.meter.flusher import Meter
from agency.gateway.plane import READY_PATH, App, Plane, beside, nothing_else
from agency.gateway.routes.admin import AdminSocket
from agency.gateway.routes.agents import AGENT_PATH, AgentDoor
from agency.gateway.routes.follower import Follower
from agency.gateway.upstream import Upstream
from agency.gateway.wire import Refused, Scope, Send, send_ok

__all__ = ["App", "Gateway", "beside", "nothing_else"]


class Gateway(Plane):
    """One process's gateway. `name` tells gateways of one machine apart: routes/<name>.json, gateway-<name>.sock."""

    follower: Follower

    def __init__(self, name: str, var: Path, limits: Limits | None = None) -> None:
        limits = limits or Limits.from_environment()
        follower = Follower(var / "routes" / f"{name}.json")
        super().__init__(follower, Meter(records.write), Upstream(limits, settings.ALLOW_PRIVATE_HOSTS), limits)
        self.admin = AdminSocket(var / f"gateway-{name}.sock", follower, self.status)
        self.doors[AGENT_PATH] = AgentDoor(follower).answer
        self.doors[READY_PATH] = self._ready

    async def began(self) -> None:
        await self.admin.start()

    async def ending(self) -> None:
        await self.admin.stop()

    async def _ready(self, scope: Scope, send: Send) -> None:
        """For whoever deals the callers out: before it has routes a new gateway could answer nobody."""
        if not self.follower.is_ready:
            raise Refused(503, "no routes were loaded yet")
        await send_ok(send)
