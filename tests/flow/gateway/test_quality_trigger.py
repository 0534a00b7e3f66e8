"""From what people say of answers to a new run: asked through the gateway, told by the API, noticed by the ticker.

With the product's own settings: quality below 0.85 over a week, at least 100 samples, a cooldown of 48 hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.http import HttpResponse
from django.test import Client as Browser
from django.utils.timezone import now

from pipelines import ticker
from pipelines.models import Exchange, PipelineState, Run, TriggerDecision
from pipelines.triggers import quality_of
from tenants import crossing
from tests import factories
from tests.flow.gateway.conftest import CHAT, Door, Ground
from tests.flow.gateway.double import wait_for

COOLDOWN = timedelta(hours=48)


@pytest.fixture
def watched(ground: Ground) -> Iterator[Ground]:
    """v2 answers, in production since long, by the product's own settings."""
    ground.flip(2)
    with factories.inside(ground.client):
        assert ground.pipeline.settings.triggers.model_dump(include={"quality_below", "quality_min_sample"}) == {
            "quality_below": 0.85,
            "quality_min_sample": 100,
        }
        yield ground


class Program:
    """The client's own program: asks, and says by the API how good the answer was."""

    def __init__(self, ground: Ground, door: Door) -> None:
        self.ground, self.door, self.asked = ground, door, 0
        self.headers = {"Authorization": f"Bearer {factories.make_key(ground.client, 'feedback')}"}

    def ask(self, count: int) -> list[str]:
        """The request ids of so many answers, all of them in the meter's rows."""
        ids = []
        for _ in range(count):
            self.asked += 1
            answer = self.door.post(
                "/api/chat", CHAT | {"stream": False}, **{"x-conversation-id": f"conversation-{self.asked}"}
            )
            assert answer.status_code == 200
            ids.append(answer.headers["x-retune-request-id"])
        wait_for(lambda: Exchange.objects.filter(request_id__in=ids).count() == count)
        return ids

    def say(self, ids: list[str], is_good: bool) -> None:
        for request_id in ids:
            said = {"request_id": request_id, "is_good": is_good}
            answer = Browser().post("/rest/v1/feedback", said, content_type="application/json", headers=self.headers)
            assert answer.status_code == 201, answer.content

    def get(self, path: str) -> HttpResponse:
        key = factories.make_key(self.ground.client)
        return Browser().get(f"/rest/v1{path}", headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def program(watched: Ground, door: Door) -> Program:
    return Program(watched, door)


def ticked(at: datetime) -> None:
    """What the ticker finds due at that moment is looked at, by each task's one call."""
    for _client_id, state_id in crossing.due("due_triggers", at):
        ticker.look_at_triggers(state_id, at)


def look(ground: Ground, at: datetime) -> tuple[Run, str]:
    """The latest run, and the last word of the ledger, once the pipeline was looked at."""
    PipelineState.objects.filter(pipeline=ground.pipeline).update(due_at=at)
    ticked(at)
    run = Run.objects.filter(pipeline=ground.pipeline).order_by("id").last()
    return run, TriggerDecision.objects.filter(pipeline=ground.pipeline).order_by("id").last().reason


def test_what_people_say_of_answers_starts_a_run_and_the_cooldown_holds_back_the_next(
    watched: Ground, program: Program
) -> None:
    before = Run.objects.filter(pipeline=watched.pipeline).count()
    ids = program.ask(100)
    program.say(ids[:84], True)
    program.say(ids[84:99], False)  # The hundredth is judged by its format alone, which is right.
    _latest, reason = look(watched, now())
    assert reason.endswith("quality 0.850 >= 0.850, n=100")
    assert Run.objects.filter(pipeline=watched.pipeline).count() == before

    program.say(ids[99:], False)
    run, reason = look(watched, now())

    assert run.occasion == {"kind": "quality", "by": "trigger", "reason": "quality 0.840 < 0.850, n=100", "missed": 0}
    decision = TriggerDecision.objects.get(run=run)
    assert decision.started and decision.reason == reason == "quality 0.840 < 0.850, n=100"
    assert run.status == "skipped", "there are no new examples to learn from, and the run says so"
    assert Run.objects.filter(pipeline=watched.pipeline).count() == before + 1

    again, reason = look(watched, now() + COOLDOWN - timedelta(minutes=1))
    assert again == run, "nothing is started within the cooldown"
    assert reason.startswith("cooldown after a quality-triggered run until ")
    assert reason.endswith("; deferred: quality 0.840 < 0.850, n=100")
    held_back = TriggerDecision.objects.filter(pipeline=watched.pipeline).order_by("id").last()
    assert not held_back.started and held_back.next_eligible_at == run.finished_at + COOLDOWN
    shown = program.get("/trigger-decisions?pipeline=support").json()["items"][0]
    assert (shown["started"], shown["reason"]) == (False, reason)

    after, reason = look(watched, now() + COOLDOWN + timedelta(minutes=1))
    assert after != run and after.occasion["reason"] == reason == "quality 0.840 < 0.850, n=100"


def test_an_answer_counts_once_however_often_it_is_spoken_of_and_the_last_word_holds(
    watched: Ground, program: Program
) -> None:
    ids = program.ask(4)
    for _ in range(5):
        program.say(ids[:1], False)
    program.say(ids[1:2], False)
    program.say(ids[1:2], True)

    state = PipelineState.objects.get(pipeline=watched.pipeline)
    assert quality_of(state, now()) == (0.75, 4)
    assert quality_of(state, now() + timedelta(days=8)) == (None, 0), "a week later it is forgotten"
