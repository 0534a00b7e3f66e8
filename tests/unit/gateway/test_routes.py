"""The picture of the routes: names, orders over it, and its file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agency.gateway.arms import WINDOW_S, Arms
from agency.gateway.listing import listing, lowest_version
from agency.gateway.meter.judge import judge
from agency.gateway.meter.sighting import HEARD_BYTES, Arm, Fault, Sighting
from agency.gateway.routes import store
from agency.gateway.routes.snapshot import ClientRoutes, Order, Place, RouteEntry, Routes, Target
from agency.gateway.wire import Path as WirePath
from pipelines.domain.assignment import choose_key


def target(number: int, *versions: str) -> Target:
    places = tuple(Place(f"h{i}", f"http://h{i}", f"m:v{number}", version) for i, version in enumerate(versions))
    return Target(number * 10, number, "d" * 64, 5, "2026-03-03T04:00:00+00:00", places)


def entry(serial: int = 7, **changes: Any) -> RouteEntry:
    targets = {1: target(1, "0.24.0"), 2: target(2, "0.33.0-rc2", "0.9.1"), 3: target(3)}
    made = RouteEntry(1, 2, 3, "support", serial, 1, 2, 2500, 4, {"kind": "label", "labels": ["billing"]}, targets)
    return replace(made, **changes)


def routes(made: RouteEntry) -> Routes:
    return Routes.of({2: ClientRoutes(2, "acorn", frozenset({"digest"}), {"support": made}, made.serial)})


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("support", True),
        ("acorn/support", True),
        ("birch/support", False),
        ("x/acorn/support", False),
        ("/support", False),
    ],
)
def test_names_resolve_inside_the_client_only(name: str, is_found: bool) -> None:
    client = routes(entry()).client_of("digest")
    assert client is not None and (client.find(name) is not None) == is_found


def test_a_pipeline_whose_version_nobody_knows_is_left_out_of_the_lists() -> None:
    client = routes(entry().flipped(9)).client_of("digest")
    assert client is not None
    assert (listing(WirePath.TAGS, client)["models"], listing(WirePath.V1_MODELS, client)["data"]) == ([], [])


def test_an_order_stands_over_its_serial_and_older_ones_and_yields_to_a_newer() -> None:
    order = {("acorn", "support"): Order("acorn", "support", 3, serial=7)}
    flipped = routes(entry()).with_orders(order).entry("acorn", "support")
    assert flipped is not None and (flipped.production, flipped.candidate, flipped.candidate_bp) == (3, None, 0)
    assert routes(entry(serial=8)).with_orders(order).entry("acorn", "support") == entry(serial=8)


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "routes" / "one.json"
    orders = {("acorn", "support"): Order("acorn", "support", 3, serial=7)}
    store.save(file, routes(entry()), orders)
    assert store.load(file) == (routes(entry()), orders)
    assert file.stat().st_mode & 0o777 == 0o600 and [p.name for p in file.parent.iterdir()] == ["one.json"]


@pytest.mark.parametrize(
    "body", [None, b"", b"{", b"[]", b'{"version": 99}', b'{"version": 1, "clients": [{}], "orders": []}']
)
def test_a_file_that_cannot_be_read_gives_no_routes(tmp_path: Path, body: bytes | None) -> None:
    file = tmp_path / "one.json"
    if body is not None:
        file.write_bytes(body)
    assert store.load(file) == (Routes(), {})


def test_the_version_told_is_one_that_every_host_has() -> None:
    client = routes(entry()).clients[2]
    assert lowest_version(client) == "0.9.1"


def test_a_candidate_without_a_host_gets_nothing() -> None:
    arms = Arms()
    key = choose_key("c", None, None, "p")
    assert arms.choose(entry(candidate=3, candidate_bp=10_000), key) is Arm.PRODUCTION
    assert arms.choose(entry(candidate_bp=10_000), key) is Arm.CANDIDATE


def test_a_candidate_that_only_an_agent_reaches_gets_nothing_here() -> None:
    behind = replace(target(2), places=(Place("office", "", "m:v2"),))
    made = entry(candidate_bp=10_000, targets={1: target(1, "0.24.0"), 2: behind})
    assert Arms().choose(made, choose_key("c", None, None, "p")) is Arm.PRODUCTION


def test_a_heavy_key_stays_out_for_its_rollout_and_is_counted_anew_in_the_next() -> None:
    now = [0.0]
    arms = Arms(clock=lambda: now[0])
    full, storm = entry(candidate_bp=10_000), choose_key("storm", None, None, "")
    others = [choose_key(f"c{n}", None, None, "") for n in range(200)]
    for key in [*others, *[storm] * 20]:
        arms.choose(full, key)
    assert arms.choose(full, storm) is Arm.PRODUCTION
    now[0] += 3 * WINDOW_S
    assert [arms.choose(full, key) for key in others[:1]] == [Arm.CANDIDATE]
    now[0] += 3 * WINDOW_S
    assert arms.choose(full, storm) is Arm.PRODUCTION
    for key in others:
        arms.choose(full, key)
    assert arms.choose(replace(full, rollout_id=5), storm) is Arm.CANDIDATE


def sighting(*chunks: bytes, fault: Fault = Fault.NONE) -> Sighting:
    made = Sighting("id", entry(), target(1, ""), Arm.PRODUCTION, Place("shop", "", ""), "k", WirePath.CHAT, status=200)
    for chunk in chunks:
        made.heard.add(chunk)
    made.finish(fault)
    return made


DONE = b'{"message":{"content":""},"done":true,"load_duration":60000000,"eval_count":3}\n'


def test_lines_are_read_across_the_borders_of_chunks() -> None:
    record = judge(sighting(b'{"message":{"con', b'tent":"Bill"}}\n{"message":{"content":"ing"}}\n', DONE))
    assert (record.is_bad, record.is_error, record.is_after_load, record.output_tokens) == (False, False, True, 3)


def test_a_load_and_a_tool_call_are_not_judged() -> None:
    load = sighting(b'{"message":{"content":""},"done":true,"done_reason":"load"}')
    tool = sighting(b'{"message":{"content":"","tool_calls":[{"function":{}}]},"done":true}')
    assert [judge(load).is_bad, judge(tool).is_bad] == [None, None]


def test_an_endless_answer_keeps_its_counts_and_is_not_judged() -> None:
    record = judge(sighting(b'{"message":{"content":"' + b"a" * HEARD_BYTES + b'"}}\n', DONE))
    assert (record.is_bad, record.output_tokens, record.is_error) == (None, 3, False)


@pytest.mark.parametrize("border", [1, 20, len(DONE) - 1])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_last_line_of_an_endless_answer_may_come_in_two_chunks(border: int, end: bytes) -> None:
    long = b'{"message":{"content":"' + b"a" * HEARD_BYTES + b'"}}\n'
    for first in ((long,), (long[:-1], b"\n"), (long + DONE[:0],)):
        record = judge(sighting(*first, DONE[:border], DONE[border:] + end))
        assert (record.output_tokens, record.is_error) == (3, False)
    joined = judge(sighting(long + DONE[:border], DONE[border:] + end))
    assert (joined.output_tokens, joined.is_error) == (3, False)


@pytest.mark.parametrize(
    "lines",
    [
        b'{"done":true,"eval_count":"many","message":7}',
        b'{"done":true,"eval_count":-5,"message":{"content":[1]}}',
        b'{"done":true,"eval_count":1e99,"response":{"a":1}}',
        b"\xff\xfe\n" + b'{"done":true,"eval_count":99999999999999}',
        b"[" * 5000 + b'\n{"done":true}',
        b'{"message":{"content":"' + b"." * 900_000 + b'a"},"done":true}',
    ],
)
def test_hostile_lines_give_a_bad_record_that_fits_its_columns(lines: bytes) -> None:
    record = judge(sighting(lines))
    assert record.is_bad is True and 0 <= record.output_tokens < 2**31


def test_a_caller_that_left_is_nobodys_error() -> None:
    record = judge(sighting(b'{"message":{"content":"Bill"}}\n', fault=Fault.LEFT))
    assert (record.status, record.is_error, record.is_bad) == (499, False, None)


def test_whoever_leaves_before_the_last_line_has_had_the_tokens_all_the_same() -> None:
    line = b'{"message":{"content":"Bill"}}\n'
    left, through = sighting(line * 3, line, fault=Fault.LEFT), sighting(line, DONE, fault=Fault.LEFT)
    broken = sighting(line * 3, fault=Fault.TRANSPORT)
    for one in (left, through, broken):
        one.asked_tokens = 10
    records = [judge(one) for one in (left, through, broken)]
    assert [(record.input_tokens, record.output_tokens) for record in records] == [(10, 4), (0, 3), (0, 0)]
