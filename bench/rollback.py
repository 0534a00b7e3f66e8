"""How long a version still answers after the commit that took it back: two gateways under load, both versions warm.

PostgreSQL, as in production, and the real order with all its rows. Without the database: the same order at the
gateways' sockets. Every question is a conversation of its own; the host thinks for 0.1 s, so answers are in flight.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.gateway_peers import load, processes
from bench.gateway_peers.load import Connection, Spot
from bench.ground import on_postgresql
from bench.report import Figure, at_most, report, wants_json

QUICK = bool(os.environ.get("BENCH_QUICK"))
ROUNDS = 10 if QUICK else 60
CALLERS = 8
# Between two answers of one caller: the callers share their two cores with what is measured.
PAUSE_S = 0.02
WATCH_S = 1.5
TARGETS = {"p99_s": at_most(2.0), "database_down_p99_s": at_most(2.0)}


@dataclass
class Load:
    """Callers at both gateways; `answers` are (when it was whole, which version)."""

    spots: list[Spot]
    answers: list[tuple[float, bytes]] = field(default_factory=list)
    failed: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    async def caller(self, number: int) -> None:
        connection, count = Connection(self.spots[number % len(self.spots)]), 0
        while not self.done.is_set():
            raw = load.request(connection.spot, text=f"think {number} {count}")
            status, count = await connection.ask(raw), count + 1
            self.failed += status != 200
            version = connection.head.partition(b"x-retune-version: ")[2][:2]
            self.answers.append((time.monotonic(), version))
            await asyncio.sleep(PAUSE_S)
        connection.close()

    def run(self) -> None:
        async def every() -> None:
            await asyncio.gather(*(self.caller(number) for number in range(CALLERS * len(self.spots))))

        asyncio.run(every())

    @contextmanager
    def going(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self.done.set()
            thread.join()

    def wait_for(self, version: bytes) -> None:
        """Until a tenth of the latest answers are the version's, in this process's own time."""
        until = time.monotonic() + 20
        while sum(said == version for _, said in self.answers[-100:]) < 10:
            assert time.monotonic() < until, f"{version!r} does not answer"
            time.sleep(0.05)

    def silent_after(self, version: bytes, decided: float) -> float:
        """Seconds from the decision to the version's last answer."""
        time.sleep(WATCH_S)
        return max((at - decided for at, said in self.answers if said == version and at > decided), default=0.0)


@dataclass(frozen=True)
class Ground:
    """v1 in production, v2 in the canary."""

    key: str
    canary: Callable[[], None]
    roll_back: Callable[[], float]


def lay(upstream: int) -> Ground:
    from django.db import transaction
    from django.utils.timezone import now

    from pipelines import actions
    from pipelines.models import ModelVersion, Rollout
    from pipelines.shipping import route
    from tests import factories

    client = factories.make_client(slug="acorn")
    factories.make_host(client, "shop", f"http://127.0.0.1:{upstream}")
    pipeline = factories.make_pipeline(client)
    old, new = (factories.make_production(pipeline).model_version for _ in range(2))

    def canary() -> None:
        with factories.inside(client):
            ModelVersion.objects.filter(pk=old.pk).update(status="production")
            ModelVersion.objects.filter(pk=new.pk).update(status="candidate")
            Rollout.objects.filter(version=new).update(status="stepping")
            rollout = Rollout.objects.get(version=new)
            route.flip(old, now(), candidate=new, share=0.5, rollout=rollout)

    def roll_back() -> float:
        """When it was committed."""
        committed = list[float]()
        with factories.inside(client), transaction.atomic():
            transaction.on_commit(lambda: committed.append(time.monotonic()))
            made = actions.roll_back(pipeline, to=old, actor="bench", reason="measured", now=now())
            assert made.flipped_at, "v1 is not warm"
        return committed[0]

    return Ground(factories.make_key(client, "gateway"), canary, roll_back)


def main() -> None:
    as_json = wants_json()
    figures: dict[str, Figure] = dict.fromkeys(TARGETS)
    with on_postgresql() as (folder, installation), ExitStack() as stack:
        upstream = stack.enter_context(processes.upstream())
        ground = lay(upstream)
        ground.canary()
        ports = [stack.enter_context(processes.gateway(RETUNE_GATEWAY_NAME=f"g{n}"))[0] for n in range(2)]
        spots = [Spot(port, key=ground.key) for port in ports]
        for spot in spots:
            load.until_ready(spot)
        figures |= with_database(ground, spots)
        with _untold(installation.owner_url):
            polled = with_database(ground, spots)
        figures |= {f"polled_{name}": polled[name] for name in ("median_s", "p99_s")}
        figures |= without_database(folder, installation.admin_url, ground, spots)
    report("rollback", figures, TARGETS, as_json)


@contextmanager
def _untold(owner_url: str) -> Iterator[None]:
    """PostgreSQL tells nobody of routes: gateways find them by their looks alone."""
    import psycopg

    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE pipelines_route DISABLE TRIGGER routes_changed")
        yield
        owner.execute("ALTER TABLE pipelines_route ENABLE TRIGGER routes_changed")


def with_database(ground: Ground, spots: list[Spot]) -> dict[str, Figure]:
    going, found, took = Load(spots), list[float](), list[float]()
    with going.going():
        for _ in range(ROUNDS):
            ground.canary()
            going.wait_for(b"v2")
            ordered = time.monotonic()
            committed = ground.roll_back()
            found.append(going.silent_after(b"v2", committed))
            took.append(committed - ordered)
    return _figures("", found) | {
        "order_median_s": statistics.median(took),
        "answers": len(going.answers),
        "failed": going.failed,
    }


def without_database(var: Path, admin_url: str, ground: Ground, spots: list[Spot]) -> dict[str, Figure]:
    """The database ends every connection and takes none; an order moves the traffic there and back."""
    import psycopg

    from agency.gateway.routes.orders import send_order, sockets

    def order(number: int) -> None:
        told = {"client": "acorn", "pipeline": "support", "to_version": number}
        for path in sockets(var):
            assert send_order(path, {"flip": told})["ok"]

    going, found = Load(spots), list[float]()
    with psycopg.connect(admin_url, autocommit=True) as admin, going.going():
        admin.execute("ALTER DATABASE retune WITH ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'retune'")
        for _ in range(ROUNDS):
            order(2)
            going.wait_for(b"v2")
            decided = time.monotonic()
            order(1)
            found.append(going.silent_after(b"v2", decided))
        admin.execute("ALTER DATABASE retune WITH ALLOW_CONNECTIONS true")
    return _figures("database_down_", found) | {"database_down_failed": going.failed}


def _figures(prefix: str, found: list[float]) -> dict[str, Any]:
    p99 = statistics.quantiles(found, n=100, method="inclusive")[98]
    return {f"{prefix}median_s": statistics.median(found), f"{prefix}p99_s": p99, f"{prefix}max_s": max(found)}


if __name__ == "__main__":
    main()
