"""What staff see of the agent beside a host: whether it is heard of, and how far behind it serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipelines.models import Placement, Route
from tenants import crossing, scope
from tenants.models import Client, Host, HostAgent
from tenants.models.host import AGENT

AGENT_PORT = 8430
WRONG_CLOCK_S, DOUBLED_FOR = 60.0, timedelta(minutes=5)
SILENT, DOUBLED = "not heard of", "two programs with one token"
WRONG_CLOCK, OTHER_PROGRAM = "a wrong clock", "another program than the one here"


@dataclass(frozen=True)
class AgentLine:
    """`state`: a word of the product's statuses. `behind`: pipelines on this host whose route is newer than those that

    it said it serves; `records` wait with it, `dropped` were lost there. `program`: the digest of the file it runs
    from, empty where it runs from none; `clock_s`: how far its clock is ahead; `is_doubled`: two have its token.
    """

    row: HostAgent | None
    state: str
    behind: int
    records: int
    dropped: int
    ollama: str
    version: str
    port: int
    program: str
    clock_s: float
    is_doubled: bool

    @property
    def is_clock_wrong(self) -> bool:
        return abs(self.clock_s) > WRONG_CLOCK_S


def line_of(host: Host, now: datetime) -> AgentLine | None:
    """None for a host that we call ourselves. In the client's scope."""
    if host.kind != AGENT:
        return None
    row = HostAgent.objects.filter(host=host).first()
    said = row.said if row else {}
    records, dropped, port = (_number(said.get(name)) for name in ("records", "dropped", "port"))
    ollama, version = (str(said.get(name, ""))[:40] for name in ("ollama", "version"))
    behind = _behind(host, _number(said.get("serial")))
    program, clock_s = str(said.get("program", ""))[:64], float(said.get("clock_s") or 0.0)
    own = (program, clock_s, is_doubled(row, now))
    return AgentLine(row, state_of(row, now), behind, records, dropped, ollama, version, port, *own)


@dataclass(frozen=True)
class Gateway:
    """Where programs ask. `host`: the host that this gateway stands beside, empty for that of headquarters."""

    url: str
    host: str = ""

    @property
    def is_local(self) -> bool:
        """Only programs on that very machine reach it."""
        return bool(self.host) and "//127." in self.url


def gateways(client: Client, ours: str) -> list[Gateway]:
    """Ours where it can answer, and those beside hosts that only they reach. In the client's scope."""
    hosts = list(Host.objects.filter(client=client, is_enabled=True))
    agents = {row.host_id: row for row in HostAgent.objects.filter(host__in=hosts, revoked_at=None)}
    behind = [host for host in hosts if host.kind == AGENT]
    found = [Gateway(ours)] if len(behind) < len(hosts) or not hosts else []
    return found + [Gateway(_beside(host, agents[host.pk].said), host.name) for host in behind if host.pk in agents]


def _beside(host: Host, said: dict[str, Any]) -> str:
    """As it said where it listens; on every address of its machine: by the machine's name, which we do not know."""
    address, port = str(said.get("address") or "127.0.0.1")[:100], _number(said.get("port")) or AGENT_PORT
    if address in ("0.0.0.0", "::"):
        return f"http://MACHINE-OF-{host.name.upper()}:{port}"
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def is_doubled(row: HostAgent | None, now: datetime) -> bool:
    """Two programs spoke with its token, each after the other, a short time ago."""
    at = str(row.said.get("doubled_at") or "") if row else ""
    return bool(at) and now - datetime.fromisoformat(at) < DOUBLED_FOR


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


def troubled(now: datetime, program: str) -> dict[str, list[str]]:
    """What is wrong -> hosts, over all agencies: for the installation's doctor. `program`: the digest of ours."""
    found: dict[str, list[str]] = {}
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            for row in HostAgent.working().exclude(last_seen_at=None):
                for what in _troubles(row, now, program):
                    found.setdefault(what, []).append(row.host.name)
    return found


def _troubles(row: HostAgent, now: datetime, program: str) -> Iterator[str]:
    if row.is_silent(now):
        yield SILENT
        return
    if is_doubled(row, now):
        yield DOUBLED
    if abs(float(row.said.get("clock_s") or 0.0)) > WRONG_CLOCK_S:
        yield WRONG_CLOCK
    if row.said.get("program") and row.said["program"] != program:
        yield OTHER_PROGRAM
