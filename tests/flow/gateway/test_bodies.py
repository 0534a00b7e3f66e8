"""Questions and answers are kept only where the client opted in: redacted, bounded, for their days."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from agency.gateway.meter.redaction import REDACTIONS, redactor
from pipelines.models import Body, Exchange
from pipelines.retention import forget_bodies
from pipelines.shipping.bodies import recent_prompts
from tenants import actions
from tenants.pipeline_settings import REDACTIONS as OFFERED
from tests import factories
from tests.flow.gateway.conftest import Door, Ground
from tests.flow.gateway.double import wait_for

SECRET = "Write to ann@acorn.example about card 4111 1111 1111 1111, key sk-abcdefghijklmnop1234"


def choose(ground: Ground, **bodies: Any) -> None:
    """A new revision of the pipeline's settings, and a gateway that has read it."""
    with factories.inside(ground.client):
        body = factories.settings_body(bodies=bodies, hosts=["shop"])
        actions.change_settings(ground.pipeline, body, "tests", timezone.now(), "the client agreed")


def bodies(ground: Ground) -> list[Body]:
    with factories.inside(ground.client):
        return list(Body.objects.select_related("exchange").order_by("pk"))


def follow(door: Door, ground: Ground, keep: bool = True) -> None:
    """Settings carry no serial; a flip makes gateways read the client again."""

    def has_read_it() -> bool:
        client = door.gateway.follower.current.clients.get(ground.client.pk)  # None until the first read is over
        return client is not None and bool(client.pipelines["support"].bodies) == keep

    ground.flip(1)
    wait_for(has_read_it)


def ask(door: Door, text: str, path: str = "/api/chat", **more: Any) -> str:
    document = {"model": "support", "messages": [{"role": "user", "content": text}], "prompt": text, **more}
    return door.post(path, document).headers["x-retune-request-id"]


def settled(ground: Ground, number: int) -> None:
    def written() -> int:
        with factories.inside(ground.client):
            return Exchange.objects.count()

    wait_for(lambda: written() == number)


def test_without_consent_nothing_is_kept(door: Door, ground: Ground) -> None:
    ask(door, "Where is my invoice?")
    settled(ground, 1)
    assert bodies(ground) == []


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [True, False])
def test_with_consent_question_and_answer_stand_redacted_beside_the_exchange(
    door: Door, ground: Ground, path: str, stream: bool
) -> None:
    choose(ground, keep=True)
    follow(door, ground)
    request_id = ask(door, SECRET, path, stream=stream)
    wait_for(lambda: bodies(ground))
    [row] = bodies(ground)
    kept = json.loads(row.request)
    asked = kept["prompt"] if path == "/api/generate" else kept["messages"][0]["content"]
    assert asked == "Write to [email] about card [card], key [key]"
    assert (row.exchange.request_id, row.answer, "model" in kept) == (request_id, "billing", False)


def test_what_is_too_long_is_counted_and_not_kept(door: Door, ground: Ground) -> None:
    choose(ground, keep=True, max_bytes=400)
    follow(door, ground)
    ask(door, "x" * 401)
    ask(door, "short")
    settled(ground, 2)
    assert [json.loads(row.request)["messages"][0]["content"] for row in bodies(ground)] == ["short"]


def shout(text: str) -> str:
    return text.upper()


def fail(text: str) -> str:
    raise RuntimeError(text)


@override_settings(OWN_REDACTIONS={name: f"tests.flow.gateway.test_bodies:{name}" for name in ("shout", "fail")})
def test_an_installations_own_redaction_runs_and_one_that_fails_keeps_nothing(
    door: Door, ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    choose(ground, keep=True, redaction="shout")
    follow(door, ground)
    ask(door, "quiet")
    wait_for(lambda: bodies(ground))
    choose(ground, keep=True, redaction="fail")
    ground.flip(1)
    wait_for(
        lambda: (
            door.gateway.follower.current.clients[ground.client.pk].pipelines["support"].bodies["redaction"] == "fail"
        )
    )
    ask(door, "a secret")
    settled(ground, 2)
    [row] = bodies(ground)
    assert json.loads(row.request)["messages"][0] == {"role": "user", "content": "QUIET"}
    assert row.answer == "BILLING"
    assert "RuntimeError" in caplog.text and "a secret" not in caplog.text


def test_a_redaction_that_is_no_longer_installed_keeps_nothing_and_stops_nothing(
    door: Door, ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(OWN_REDACTIONS={"whisper": "tests.flow.gateway.test_bodies:shout"}):
        choose(ground, keep=True, redaction="whisper")
    follow(door, ground)
    ask(door, "one")
    ask(door, "two")
    settled(ground, 2)
    assert bodies(ground) == [] and forget_bodies(timezone.now()) == 0
    assert caplog.text.count("redaction whisper") == 1, "once, and not at each request"


def test_bodies_go_after_their_days_and_all_at_once_when_consent_is_taken_back(door: Door, ground: Ground) -> None:
    choose(ground, keep=True, days=3)
    follow(door, ground)
    ask(door, "one")
    ask(door, "two")
    wait_for(lambda: len(bodies(ground)) == 2)
    with factories.inside(ground.client):
        Body.objects.filter(pk=bodies(ground)[0].pk).update(at=timezone.now() - timedelta(days=4))
    assert forget_bodies(timezone.now()) == 1
    assert forget_bodies(timezone.now()) == 0
    choose(ground, keep=False)
    assert forget_bodies(timezone.now()) == 1
    with factories.inside(ground.client):
        assert Exchange.objects.count() == 2


def test_recent_prompts_are_distinct_and_the_newest_come_first(door: Door, ground: Ground) -> None:
    choose(ground, keep=True)
    follow(door, ground)
    for text in ("one", "two", "one", "three"):
        ask(door, text, stream=False, options={"seed": time.time_ns() % 1000})
    wait_for(lambda: len(bodies(ground)) == 4)
    with factories.inside(ground.client):
        found = recent_prompts(ground.pipeline)
        few = recent_prompts(ground.pipeline, limit=1)
    assert [prompt.request["messages"][0]["content"] for prompt in found] == ["three", "one", "two"]
    assert [prompt.answer for prompt in found] == ["billing"] * 3 and few == found[:1]


def test_the_settings_offer_just_the_redactions_there_are() -> None:
    assert set(OFFERED) == set(REDACTIONS)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("call +49 (30) 1234-5678 now", "call [phone] now"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [iban]."),
        ("call 030 1234 5678 or 0699-1234567", "call [number] or [number]"),
        ("order 12345 of 2026", "order 12345 of 2026"),
        ("a.b+c@mail.example.org, twice: x@y.example", "[email], twice: [email]"),
    ],
)
def test_personal_marks(text: str, kept: str) -> None:
    assert redactor("personal")(text) == kept


def test_hostile_text_is_redacted_in_linear_time() -> None:
    redact = redactor("personal")
    began = time.perf_counter()
    for text in ("a" * 200_000, "a@" * 100_000, "1 " * 50_000, "eyJ" * 50_000):
        redact(text)
    assert time.perf_counter() - began < 5
