"""What the meter writes: one row per attempt, minutes that add up, within a second and exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import httpx2
import pytest

from agency.gateway.meter import records
from agency.gateway.meter.judge import judge
from pipelines.domain.histogram import Histogram
from pipelines.models import Exchange, Traffic
from tests import factories
from tests.flow.gateway.conftest import CHAT, Door, Ground
from tests.flow.gateway.double import wait_for
from tests.flow.gateway.test_shares import ask_many


def exchanges(ground: Ground) -> list[Exchange]:
    with factories.inside(ground.client):
        return list(Exchange.objects.order_by("pk"))


def minutes(ground: Ground) -> list[Traffic]:
    with factories.inside(ground.client):
        return list(Traffic.objects.order_by("pk"))


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize("stream", [True, False])
def test_each_path_leaves_its_row_within_a_second(door: Door, ground: Ground, path: str, stream: bool) -> None:
    answer = door.post(path, CHAT | {"prompt": "Where?", "stream": stream})
    assert wait_for(lambda: exchanges(ground)) < 1.0
    [row] = exchanges(ground)
    assert row.request_id == answer.headers["x-retune-request-id"]
    assert (row.version_id, row.arm, row.host, row.status) == (ground.versions[1].pk, "production", "shop", 200)
    assert (row.is_error, row.is_bad, row.input_tokens, row.output_tokens) == (False, False, 11, 2)
    assert len(row.key_hash) == 32 and row.latency_ms > 0 and row.finished_at >= row.at


def test_two_hundred_requests_at_once_lose_nothing(door: Door, ground: Ground) -> None:
    ground.flip(1, candidate=2, share=0.5)
    answers = asyncio.run(ask_many(door, [f"key {n}" for n in range(200)], at_once=200))
    assert Counter(status for status, _, _ in answers) == {200: 200}
    wait_for(lambda: len(exchanges(ground)) == 200)
    served = Counter(version for _, version, _ in answers)
    rows = minutes(ground)
    counted = {label: sum(r.requests for r in rows if r.version_id == v.pk) for label, v in named(ground).items()}
    assert counted == {"v1": served["v1"], "v2": served["v2"]}
    assert sum(Histogram.from_json(row.latency).total for row in rows) == 200


def named(ground: Ground) -> dict[str, object]:
    return {f"v{number}": version for number, version in ground.versions.items()}


def test_a_failed_candidate_counts_as_its_error_and_not_as_productions(door: Door, ground: Ground) -> None:
    ground.double.behaviour[ground.name(2)] = "dies"
    ground.flip(1, candidate=2, share=1.0)
    wait_for(lambda: door.chat().headers["x-retune-arm"] == "fallback")
    wait_for(lambda: {row.arm for row in exchanges(ground)} >= {"candidate", "fallback"})
    failed = [row for row in exchanges(ground) if row.arm == "candidate"]
    saved = [row for row in exchanges(ground) if row.arm == "fallback"]
    assert all(row.is_error and row.is_transport_error and row.rollout_id for row in failed)
    assert all(row.is_bad is None for row in failed)
    assert {row.rollout_id for row in saved} == {None}
    assert [row.is_error for row in saved] == [False] * len(failed)
    assert {row.key_hash for row in failed} == {row.key_hash for row in saved}


@pytest.mark.parametrize(
    ("answer", "is_bad"), [(("refunds",), True), ((" ",), True), (("I cannot help",), True), (("Billing.",), False)]
)
def test_answers_off_the_promised_shape_are_bad(
    door: Door, ground: Ground, answer: tuple[str, ...], is_bad: bool
) -> None:
    ground.double.answer = answer
    door.chat()
    wait_for(lambda: exchanges(ground))
    assert [(row.is_error, row.is_bad) for row in exchanges(ground)] == [(False, is_bad)]


@pytest.mark.parametrize(("kind", "is_transport"), [("midway", True), ("error_line", False), ("cut", False)])
def test_a_stream_that_breaks_is_an_error_without_a_verdict(
    door: Door, ground: Ground, kind: str, is_transport: bool
) -> None:
    ground.double.behaviour[ground.name(1)] = kind
    door.chat(stream=True)
    wait_for(lambda: exchanges(ground))
    [row] = exchanges(ground)
    assert (row.is_error, row.is_transport_error, row.is_bad) == (True, is_transport, None)


def test_a_caller_that_left_is_no_error_of_the_model(door: Door, ground: Ground) -> None:
    ground.double.behaviour[ground.name(1)] = "slow"
    with pytest.raises(httpx2.TimeoutException):
        httpx2.post(door.url + "/api/chat", json=CHAT, headers=door.headers(), timeout=0.3)
    wait_for(lambda: exchanges(ground))
    [row] = exchanges(ground)
    assert (row.status, row.is_error, row.is_bad) == (499, False, None)


def test_a_batch_written_twice_counts_once_and_a_row_of_an_erased_version_holds_back_none(
    door: Door, ground: Ground
) -> None:
    seen = []
    door.gateway.proxy.meter = type("Kept", (), {"put": staticmethod(seen.append)})()
    for _ in range(3):
        door.chat()
    judged = [judge(sighting) for sighting in seen]
    records.write(ground.client.pk, judged[:2])
    records.write(ground.client.pk, judged)
    assert len(exchanges(ground)) == 3 and sum(row.requests for row in minutes(ground)) == 3
    seen[0].target = type(seen[0].target)(10**9, 77, "", 0, "", ())
    seen[0].request_id, seen[1].request_id = "erased", "sound"
    for sighting in seen[:2]:
        door.gateway.meter.put(sighting)
    wait_for(lambda: door.gateway.meter.dropped == 1)
    wait_for(lambda: "sound" in {row.request_id for row in exchanges(ground)})
    assert "erased" not in {row.request_id for row in exchanges(ground)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_that_ends_the_meters_thread_is_outlived(door: Door, ground: Ground) -> None:
    door.gateway.meter.put(None)  # type: ignore[arg-type]
    door.chat()
    wait_for(lambda: len(exchanges(ground)) == 1)


def test_no_answer_and_no_question_is_ever_logged(door: Door, ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="agency")
    ground.double.answer = ("\x1b[2Jhostile words",)
    for kind in ("ok", "midway", "error_line", "cut", "503"):
        ground.double.behaviour[ground.name(1)] = kind
        door.chat(stream=True)
    wait_for(lambda: len(exchanges(ground)) == 5)
    assert "hostile" not in caplog.text and "invoice" not in caplog.text
