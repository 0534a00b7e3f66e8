"""Memory preflight: may two versions be loaded at once, and what will a rollback cost if not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from django.db.models import QuerySet

from pipelines.domain.change.memory import Fit, Need, Room, Rung, fit, need
from pipelines.domain.transitions import JobStatus
from pipelines.models import Job, ModelVersion, Placement, Rollback
from tenants.models import Host

# A flip of the route: gateways poll four times a second and read the client's routes (performance.md: below 2 s).
FLIP_S = 1.0
# Where nothing was measured: freeing a graphics card (up to 5 s), and reading from a disk that nobody cached.
UNLOAD_S, READ_BYTES_S = 5.0, 200e6

ONE_PROCESS = "both versions are adapters over one file, for which a host runs one process"


@dataclass(frozen=True)
class Preflight:
    """`rollback_s`: from the decision to the last answer of what is taken back, as far as can be told before.

    `basis` of it: "flip", "measured" (earlier rollbacks of this pipeline that had to load) or "guessed".
    """

    fit: Fit
    rooms: tuple[Room, ...]
    rollback_s: float
    basis: str

    @property
    def takes_turns(self) -> bool:
        """Whether the way of shipping keeps the two apart, and not a lack of memory: whoever chose it knew."""
        return any(room.has_to_choose for room in self.rooms)

    @property
    def may_begin(self) -> bool:
        """Without asking a person first."""
        rung = self.fit.rung
        return rung in (Rung.CO_RESIDENT, Rung.SECOND_HOST) or (rung is Rung.ONE_AT_A_TIME and self.takes_turns)

    @property
    def sentence(self) -> str:
        """For the run's reason, in the ledger's words."""
        hosts = ", ".join(self.fit.hosts)
        match self.fit.rung:
            case Rung.CO_RESIDENT:
                return f"both versions stay loaded on {hosts}"
            case Rung.SECOND_HOST if self.takes_turns:
                return f"{ONE_PROCESS}: the new version is loaded on {hosts}, production stays where it is"
            case Rung.SECOND_HOST:
                return f"no host has room for both: the new version is loaded on {hosts}, production stays where it is"
            case Rung.ONE_AT_A_TIME if self.takes_turns:
                return (
                    f"{ONE_PROCESS}: on {hosts} they take turns, pairs decide in place of shares, and a rollback "
                    f"takes about {self.rollback_s:.0f} s"
                )
            case Rung.ONE_AT_A_TIME:
                return (
                    f"no host has room for both versions ({self._lack()}): on {hosts} one has to leave for the other, "
                    f"and a rollback takes about {self.rollback_s:.0f} s"
                )
        return f"no host has room for this version ({self._lack()})"

    def _lack(self) -> str:
        rooms = (room for room in self.rooms if room.left_bytes is not None)
        return "; ".join(f"{r.host}: {_mib(r.left_bytes or 0)} for {_wanted(r)}" for r in rooms)


def preflight(candidate: ModelVersion, production: ModelVersion | None, hosts: Sequence[Host]) -> Preflight:
    """Reads what the last look at each host found; asks nobody."""
    rooms = tuple(room(host, candidate, production) for host in hosts)
    found = fit(rooms)
    seconds, basis = cost(found.rung, production or candidate)
    return Preflight(found, rooms, seconds, basis)


def room(host: Host, candidate: ModelVersion, production: ModelVersion | None) -> Room:
    placed = {p.version_id: p for p in Placement.objects.filter(host=host, status="placed").select_related("version")}
    loaded = _loaded(host)
    ours = {_digest(placed[v.pk]) for v in (candidate, production) if v is not None and v.pk in placed}
    others = sum(size for digest, size in loaded.items() if digest not in ours)
    needs = [_need(version, placed, loaded) if version else None for version in (candidate, production)]
    holds = production is not None and production.pk in placed
    assert needs[0] is not None
    in_turn = production is not None and candidate.takes_turns_with(production)
    return Room(host.name, host.memory_bytes, others, needs[0], needs[1], holds, in_turn)


def _need(version: ModelVersion, placed: dict[int, Placement], loaded: dict[str, int]) -> Need:
    own = placed.get(version.pk)
    siblings = (p for p in placed.values() if p.version.pipeline_id == version.pipeline_id and _digest(p) in loaded)
    like = next(siblings, None)
    sibling = (like.version.gguf_bytes, loaded[_digest(like)]) if like else None
    return need(version.gguf_bytes, loaded.get(_digest(own)) if own else None, sibling)


def _loaded(host: Host) -> dict[str, int]:
    return {one["digest"]: one["size_bytes"] for one in host.facts.get("loaded", ())}


def _digest(placement: Placement) -> str:
    return str(placement.facts.get("manifest_digest", ""))


def cost(rung: Rung, back_to: ModelVersion) -> tuple[float, str]:
    """Expected seconds of a rollback to `back_to`, and how that is known."""
    if rung in (Rung.CO_RESIDENT, Rung.SECOND_HOST):
        return FLIP_S, "flip"
    waits = [
        (made.flipped_at - made.decided_at).total_seconds()
        for made in _brought(back_to)
        if made.flipped_at and made.flipped_at > made.decided_at
    ]
    if waits:
        return median(waits) + FLIP_S, "measured"
    return UNLOAD_S + back_to.gguf_bytes / READ_BYTES_S + FLIP_S, "guessed"


def _brought(back_to: ModelVersion) -> QuerySet[Rollback]:
    """Rollbacks that loaded their version first. Orders at a gateway waited for the database, not for a host."""
    jobs = Job.objects.filter(client_id=back_to.client_id, kind__startswith="bring:", status=JobStatus.SUCCEEDED)
    brought = [int(kind.partition(":")[2]) for kind in jobs.values_list("kind", flat=True)]
    return Rollback.objects.filter(pk__in=brought, pipeline_id=back_to.pipeline_id, flipped_at__isnull=False)


def _wanted(found: Room) -> str:
    both = [one.size_bytes for one in (found.candidate, found.production if found.holds_production else None) if one]
    return " + ".join(_mib(size) for size in both)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
