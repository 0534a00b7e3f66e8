"""What the gateway adds to an answer, how much it passes, and whether anything is lost while routes flip.

The upstream answers at once, so every figure is the proxy's own. Competitors take turns on the same machine: the ratios
count. `streams_*` are answers of 50 chunks. `lost` and `doubled` are counted over 100 flips with two gateways.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.gateway_peers import load, processes
from bench.gateway_peers.load import Spot
from bench.ground import begin_django
from bench.report import Figure, at_least, at_most, exactly, report, wants_json

QUICK = bool(os.environ.get("BENCH_QUICK"))
CALLS = 500 if QUICK else 4000
SECONDS = 1.0 if QUICK else 5.0
FLIPS = 20 if QUICK else 100
IDLE = 1000
TARGETS = {
    "added_p50_ms_c1": at_most(0.3),
    "vs_litellm": at_least(50),
    "vs_django_view": at_least(8),
    "streams_vs_nginx_lua": at_least(2),
    "idle_1000_streams_mb": at_most(150),
    "lost": exactly(0),
    "doubled": exactly(0),
}


def main() -> None:
    as_json = wants_json()
    figures: dict[str, Figure] = dict.fromkeys(TARGETS)
    with tempfile.TemporaryDirectory(prefix="retune-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        upstream = stack.enter_context(processes.upstream())
        key, flip = set_up(folder, upstream)
        figures |= alone(upstream, key, folder)
        figures["idle_1000_streams_mb"] = idle_mb(key)
        figures |= flips(upstream, key, flip)
    report("gateway", figures, TARGETS, as_json)


def set_up(var: Path, upstream: int) -> tuple[str, Callable[[int, int | None], None]]:
    """A client with two versions of a pipeline on the upstream; gives a key, and what commits a route."""
    begin_django(var)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from django.utils import timezone

    from pipelines.shipping import route
    from tests import factories

    client = factories.make_client(slug="acorn")
    factories.make_host(client, "shop", f"http://127.0.0.1:{upstream}")
    pipeline = factories.make_pipeline(client)
    runs = [factories.make_production(pipeline) for _ in range(2)]
    with factories.inside(client):
        versions = [run.model_version for run in runs]
        rollout = versions[1].run.rollout

    def flip(production: int, candidate: int | None) -> None:
        with factories.inside(client):
            chosen = None if candidate is None else versions[candidate]
            share, watch = (0.05, rollout) if chosen else (0.0, None)
            route.flip(versions[production], timezone.now(), candidate=chosen, share=share, rollout=watch)

    flip(0, 1)
    return factories.make_key(client, "gateway"), flip


def alone(upstream: int, key: str, folder: Path) -> dict[str, Figure]:
    """One gateway beside the upstream itself and the peers."""
    found: dict[str, Figure] = {}
    with processes.gateway(RETUNE_GATEWAY_NAME="bench") as (port, _pid):
        ours, direct = Spot(port, key=key), Spot(upstream)
        load.until_ready(ours)
        times = load.side_by_side([direct, ours], CALLS)
        medians = [statistics.median(each) for each in times]
        found |= {"direct_p50_ms_c1": medians[0], "added_p50_ms_c1": medians[1] - medians[0]}
        found |= _requests(ours, direct, upstream, folder)
        found |= _streams(ours, direct, upstream, folder)
    return found


def _requests(ours: Spot, direct: Spot, upstream: int, folder: Path) -> dict[str, Figure]:
    found: dict[str, Figure] = {"direct_per_s_c32": load.throughput(direct, 32, SECONDS)[0]}
    with processes.django_view(upstream) as port:
        rates = in_turns([ours, Spot(port)], 32)
        found |= {"per_s_c32": rates[0][0], "p99_ms_c32": rates[0][1], "django_view_per_s_c32": rates[1][0]}
        found["vs_django_view"] = rates[0][0] / rates[1][0]
    try:
        with processes.litellm(upstream, folder) as port:
            rates = in_turns([ours, Spot(port, "/v1/chat/completions")], 32)
            found |= {"litellm_per_s_c32": rates[1][0], "vs_litellm": rates[0][0] / rates[1][0]}
    except processes.NotThere as error:
        found["vs_litellm_why"] = str(error)
    return found


def _streams(ours: Spot, direct: Spot, upstream: int, folder: Path) -> dict[str, Figure]:
    found: dict[str, Figure] = {
        "direct_streams_per_s_c16": load.throughput(direct, 16, SECONDS, stream=True)[0],
        "streams_per_s_c16": load.throughput(ours, 16, SECONDS, stream=True)[0],
    }
    try:
        with processes.nginx_lua(upstream, folder) as port:
            rates = in_turns([ours, Spot(port)], 16, stream=True)
            found |= {"nginx_lua_streams_per_s_c16": rates[1][0], "streams_vs_nginx_lua": rates[0][0] / rates[1][0]}
    except (processes.NotThere, AssertionError) as error:
        found["streams_vs_nginx_lua_why"] = str(error)
    return found


def in_turns(spots: list[Spot], callers: int, rounds: int = 3, **fields: Any) -> list[tuple[float, float]]:
    """The median rate and p99 of each, one after the other, several times."""
    every = [[load.throughput(spot, callers, SECONDS / 2, **fields) for spot in spots] for _ in range(rounds)]
    columns = zip(*every, strict=True)
    return [
        (statistics.median(rate), statistics.median(p99)) for rate, p99 in (zip(*one, strict=True) for one in columns)
    ]


def idle_mb(key: str) -> float:
    """Resident memory of a gateway while 1,000 streams have begun and wait for their host."""
    more = {f"RETUNE_GATEWAY_HOST_{name}": str(2 * IDLE) for name in ("CONCURRENCY", "TOTAL")}
    more |= {"RETUNE_GATEWAY_NAME": "idle"}
    with processes.gateway(**more) as (port, pid):
        load.until_ready(Spot(port, key=key))
        raw = load.request(Spot(port, key=key), text="wait", stream=True)

        async def hold() -> float:
            writers = []
            for _ in range(IDLE):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(raw)
                await reader.readuntil(b"\r\n\r\n")
                writers.append(writer)
            kilobytes = next(
                int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line
            )
            for writer in writers:
                writer.close()
            return kilobytes / 1024

        return asyncio.run(hold())


def flips(upstream: int, key: str, flip: Callable[[int, int | None], None]) -> dict[str, Figure]:
    """Two gateways under load while the route flips; every question is asked once and has to be heard once."""
    with ExitStack() as stack:
        ports = [stack.enter_context(processes.gateway(RETUNE_GATEWAY_NAME=f"flip-{n}"))[0] for n in range(2)]
        for port in ports:
            load.until_ready(Spot(port, key=key))
        done = threading.Event()
        flipper = threading.Thread(target=_flip_all, args=(flip, done))
        flipper.start()
        answered = asyncio.run(_ask_until(done, [Spot(port, key=key) for port in ports]))
        flipper.join()
    seen = seen_by(upstream)
    lost = sum(status != 200 for status in answered.values())
    doubled = sum(seen.get(question, 0) > 1 for question in answered)
    return {"flips": FLIPS, "asked_while_flipping": len(answered), "lost": lost, "doubled": doubled}


def _flip_all(flip: Callable[[int, int | None], None], done: threading.Event) -> None:
    try:
        for number in range(FLIPS):
            flip(number % 2, (number + 1) % 2 if number % 3 else None)
            time.sleep(0.05)
    finally:
        done.set()


async def _ask_until(done: threading.Event, spots: list[Spot]) -> dict[str, int]:
    answered: dict[str, int] = {}

    async def caller(number: int) -> None:
        connection, count = load.Connection(spots[number % len(spots)]), 0
        while not done.is_set():
            question = f"{number}-{count}"
            raw = load.request(connection.spot, text=f"question-{question}", stream=count % 2 == 1)
            answered[question] = await connection.ask(raw)
            count += 1
        connection.close()

    await asyncio.gather(*(caller(number) for number in range(16)))
    return answered


def seen_by(upstream: int) -> dict[str, int]:
    """How often the upstream heard each question."""
    return asyncio.run(_seen(upstream))


async def _seen(upstream: int) -> dict[str, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream, limit=2**26)
    writer.write(b"GET /seen HTTP/1.1\r\nHost: x\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    body = await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
    writer.close()
    found: dict[str, int] = json.loads(body)
    return found


if __name__ == "__main__":
    main()
