"""A fleet on a virtual clock: real triggers, engine, queues and PostgreSQL; trainings that only take time.

Every pipeline of a large fleet is due on the first Tuesday at 04:00, in three time zones; --played of them are played
from there until the last run is over, by --hands processes. The rest of that fleet and its year are then written as
those left it, and the pages are asked at that size. Beside it the pipelines of --year clients are played over a whole
year of schedules, 29 February and all changes of the clocks among them; their runs have one job each and are looked at
in steps of a quarter of an hour. Looks at triggers that find nothing (one each five minutes for each pipeline) are
left out.

missed, doubled: due times without a run, and runs or jobs beyond the first for one due time, of all that were played.
queue_wait_*: from a job's making to its claim, virtual time. expected_off_p50_s: between the real start and the one
that the page told, virtual time. cpu_ms_a_run: of the playing processes, not of the database. *_p50_ms: whole requests
in this process, signed in; *_cpu_ms, *_queries beside each. rows_*, mb_*: the largest tables.
Exits 1 if a run was missed or doubled.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bench.ground import dress, on_postgresql
from bench.report import Figure, at_most, exactly, report

BEGIN = datetime(2026, 4, 6, 12, 0, tzinfo=UTC)
END = BEGIN + timedelta(days=30)  # The fleet rests when its last run is over, long before.
ZONES = ("Europe/Madrid", "America/New_York", "Asia/Tokyo")
RULE = "FREQ=MONTHLY;BYDAY=+1TU"
TARGETS = {
    "missed": exactly(0),
    "doubled": exactly(0),
    "overview_p50_ms": at_most(60),
}
Slots = Callable[[Any], set[datetime]]


def main() -> int:
    asked = _asked()
    with on_postgresql(RETUNE_ENGINE="eager", RETUNE_SCHEDULE_SPREAD_S="900") as (_folder, installation):
        dress()
        each = max(1, asked.pipelines // asked.clients)
        pipelines = _grow(max(1, asked.played // each), each)
        figures: dict[str, Figure] = {"clients": asked.clients, "pipelines": each * asked.clients}
        figures |= _told(_month(pipelines, asked.workers, asked.hands))
        figures |= _told(_filled(installation.owner_url, pipelines[0], asked.clients))
        figures = _together(figures, _told(_year(asked.year, each, asked.workers, asked.hands)))
    report("fleet", figures, TARGETS, asked.json)
    return 1 if figures["missed"] or figures["doubled"] else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--pipelines", type=int, default=5000, help="of all clients together")
    parser.add_argument("--played", type=int, default=5000, help="pipelines whose first Tuesday is played")
    parser.add_argument("--year", type=int, default=20, help="clients whose pipelines are played over a year")
    parser.add_argument("--workers", type=int, default=100, help="of the queue gpu; cpu has half as many")
    parser.add_argument("--hands", type=int, default=2, help="processes that play")
    return parser.parse_args()


def _told(figures: dict[str, Figure]) -> dict[str, Figure]:
    """Each part by itself as soon as it is there: the whole takes long."""
    print(figures, file=sys.stderr, flush=True)
    return figures


def _together(one: dict[str, Figure], other: dict[str, Figure]) -> dict[str, Figure]:
    """What was missed or doubled in either."""
    both = {name: int(one.get(name) or 0) + int(other.get(name) or 0) for name in ("missed", "doubled")}
    return one | other | both


def _grow(clients: int, each: int) -> list[Any]:
    """One agency's clients with so many pipelines each."""
    from tests import factories
    from tests.fleet import body

    agency, made = factories.make_agency("north"), list[Any]()
    for number in range(clients):
        client = factories.make_client(agency, f"client-{number}", ZONES[number % len(ZONES)])
        made += [factories.make_pipeline(client, f"task-{n}", **body(RULE, "04:00")) for n in range(each)]
    return made


def _year(clients: int, each: int, workers: int, players: int) -> dict[str, Figure]:
    """So many clients of another agency over a year of schedules of eight kinds."""
    from bench.fleet_year import slots
    from bench.fleet_year.hands import ManyHanded, hands
    from tests import factories
    from tests.fleet import SHORT, body, played

    agency, pipelines, due = factories.make_agency("year"), list[Any](), dict[int, set[datetime]]()
    for number in range(clients):
        zone = ZONES[number % len(ZONES)]
        client = factories.make_client(agency, f"year-{number}", zone)
        for n in range(each):
            rule, at = list(slots.SCHEDULES)[(each * number + n) % len(slots.SCHEDULES)]
            pipelines.append(factories.make_pipeline(client, f"task-{n}", **body(rule, at)))
            due[pipelines[-1].pk] = slots.slots(rule, at, zone)
    if not pipelines:
        return {}
    _look_at(pipelines, slots.BEGIN)
    begun, numbers = time.perf_counter(), {"gpu": workers, "cpu": workers // 2}
    fleet = ManyHanded(pipelines, slots.BEGIN, numbers, killed_share=0.02, plan=SHORT, step=timedelta(minutes=15))
    with played(fleet), hands(fleet, players):
        fleet.play(slots.END)
    figures = _judged(pipelines, fleet, lambda pipeline: due[pipeline.pk])
    _look_at(pipelines, None)
    found = {"pipelines": len(pipelines), "runs": sum(map(len, due.values())), "still_live": figures["still_live"]}
    found["wall_s"] = time.perf_counter() - begun
    return {name: figures[name] for name in ("missed", "doubled")} | {f"year_{k}": v for k, v in found.items()}


def _month(pipelines: list[Any], workers: int, number: int) -> dict[str, Figure]:
    """The first Tuesday of all of them."""
    from bench.fleet_year.hands import ManyHanded, hands
    from tests.fleet import played

    _look_at(pipelines, BEGIN)
    fleet = ManyHanded(pipelines, BEGIN, {"gpu": workers, "cpu": max(1, workers // 2)}, killed_share=0.01)
    wall, cpu = time.perf_counter(), _cpu_s()
    with played(fleet), hands(fleet, number):
        fleet.play(END, rests=True)
    figures = _judged(pipelines, fleet, lambda pipeline: {_due(pipeline)})
    _look_at(pipelines, None)
    waits, off = sorted(fleet.waits_s), sorted(abs(seconds) for seconds in fleet.off_s)
    return figures | {
        "played": len(pipelines),
        "gpu_workers": workers,
        "queue_wait_p50_s": _at(waits, 0.5),
        "queue_wait_p95_s": _at(waits, 0.95),
        "client_wait_spread_s": _spread(fleet),
        "expected_off_p50_s": _at(off, 0.5),
        "expected_asked": len(off),
        "virtual_h": (fleet.now - BEGIN).total_seconds() / 3600,
        "cpu_ms_a_run": 1000 * (_cpu_s() - cpu) / len(pipelines),
        "wall_s": time.perf_counter() - wall,
    }


def _judged(pipelines: list[Any], fleet: Any, due_of: Slots) -> dict[str, Figure]:
    from pipelines.models import Run
    from tests import factories
    from tests.fleet import occasions

    missed, doubled, live = 0, sum(n - 1 for n in fleet.landed.values()), 0
    for pipeline in pipelines:
        met, due = occasions(pipeline), due_of(pipeline)
        missed += len(due - met.keys())
        doubled += sum(n - 1 for n in met.values()) + len(met.keys() - due)
        with factories.inside(pipeline):
            live += Run.objects.filter(pipeline=pipeline, finished_at=None).count()
    return {"missed": missed, "doubled": doubled, "still_live": live}


def _look_at(pipelines: list[Any], since: datetime | None) -> None:
    """From then on; slots before are nobody's. None: no more."""
    from pipelines.models import PipelineState
    from tenants import scope

    with scope.agency_scope(pipelines[0].agency_id):
        PipelineState.objects.update(due_at=since, **({"schedule_seen_at": since} if since else {}))


def _due(pipeline: Any) -> datetime:
    return datetime(2026, 4, 7, 4, 0, tzinfo=ZoneInfo(pipeline.client.timezone)).astimezone(UTC)


def _cpu_s() -> float:
    """Of this process and of the hands that ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _spread(fleet: Any) -> float | None:
    """Between the clients in the middle nine tenths: how far the means of their jobs' waits lie apart."""
    means = sorted(sum(waits) / len(waits) for waits in fleet.by_client.values())
    return means[int(0.95 * (len(means) - 1))] - means[int(0.05 * (len(means) - 1))] if means else None


def _at(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def _filled(owner_url: str, pipeline: Any, clients: int) -> dict[str, Figure]:
    from bench.fleet_year.pages import pages
    from bench.fleet_year.rows import LAST, fill

    return {**fill(owner_url, pipeline, clients), **pages(f"{BEGIN:%Y-%m}", LAST)}


if __name__ == "__main__":
    sys.exit(main())
