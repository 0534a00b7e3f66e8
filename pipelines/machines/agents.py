"""What staff see of the agent beside a host: whether it is heard of, and how far behind it serves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.models import Placement, Route
from tenants import crossing, scope
from tenants.models import Host, HostAgent
from tenants.models.host import AGENT


@dataclass(frozen=True)
class AgentLine:
    """`state`: a word of the product's statuses. `behind`: pipelines on this host whose route is newer than those that

    it said it serves; `records` wait with it, `dropped` were lost there.
    """

    row: HostAgent | None
    state: str
    behind: int
    records: int
    dropped: int
    ollama: str
    version: str
    port: int


def line_of(host: Host, now: datetime) -> AgentLine | None:
    """None for a host that we call ourselves. In the client's scope."""
    if host.kind != AGENT:
        return None
    row = HostAgent.objects.filter(host=host).first()
    said = row.said if row else {}
    records, dropped, port = (_number(said.get(name)) for name in ("records", "dropped", "port"))
    ollama, version = (str(said.get(name, ""))[:40] for name in ("ollama", "version"))
    behind = _behind(host, _number(said.get("serial")))
    return AgentLine(row, state_of(row, now), behind, records, dropped, ollama, version, port)


def state_of(row: HostAgent | None, now: datetime) -> str:
    if row is None or row.revoked_at is not None:
        return "revoked"
    if row.last_seen_at is None:
        return "unknown"
    return "silent" if row.is_silent(now) else "answers"


def _behind(host: Host, serial: int) -> int:
    placed = Placement.objects.filter(host=host, status="placed").values("version__pipeline_id")
    newer = Route.objects.filter(client_id=host.client_id, pipeline_id__in=placed, serial__gt=serial)
    return int(newer.count())


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def silent(now: datetime) -> list[str]:
    """Hosts whose agent was heard of once and not for long, over all agencies: for the installation's doctor."""
    found = []
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            found += [row.host.name for row in HostAgent.working() if row.last_seen_at and row.is_silent(now)]
    return found
