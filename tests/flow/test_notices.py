"""What canary and monitor notice, but do not act on, is told once per run and guardrail."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail

from pipelines import outbox
from pipelines.models import Check, Exchange, ModelVersion, Notice, Rollout, Run
from pipelines.shipping import canary, watch
from tenants.models import Client
from tests import factories
from tests.conftest import Clock

KEYS = 600
BAD = 28  # Of 600 against none: beyond chance, but success falls by 4.7 % and the margin is 5 %.


@pytest.fixture
def rollout(in_acorn: Client, clock: Clock) -> Rollout:
    """The rollout of v2, held against v1."""
    pipeline = factories.make_pipeline(in_acorn)
    factories.make_production(pipeline, clock.now - timedelta(days=1))
    run = factories.make_run(pipeline, at="monitor", status="waiting", now=clock.now)
    found: Rollout = Rollout.objects.select_related("version", "previous", "run").get(run=run)
    canary.begin(found, clock.now)
    return found


def answers(rollout: Rollout, version: ModelVersion | None, at: datetime, bad: int, slow: int = 0) -> None:
    """KEYS answers of a version, each of a key of its own; the first ones are bad or slow."""
    assert version is not None
    rows = []
    for n in range(KEYS):
        name = f"{version.label}-{at:%d%H%M%S}-{n}"
        fields = {"request_id": name, "key_hash": name, "is_bad": n < bad, "latency_ms": 900_000.0 if n < slow else 5.0}
        times = {"at": at + timedelta(milliseconds=n), "finished_at": at + timedelta(milliseconds=n + 5)}
        owner = {"pipeline": rollout.pipeline, "version": version, "rollout": rollout}
        rows.append(Exchange.of(rollout, host="shop", arm="", status=200, **owner, **fields, **times))
    Exchange.objects.bulk_create(rows)


def look(rollout: Rollout, now: datetime) -> Check:
    canary.look(rollout, rollout.run.revision.settings, now)
    return Check.objects.filter(rollout=rollout, phase="canary").order_by("-number")[0]


def notices(run: Run) -> list[tuple[str, str]]:
    rows = Notice.objects.filter(run=run, kind="noticed").order_by("id")
    return [(row.detail["guardrail"], row.detail["phase"]) for row in rows]


def test_a_difference_within_the_margin_is_told_once_however_often_it_is_seen(rollout: Rollout, clock: Clock) -> None:
    answers(rollout, rollout.version, clock.now, bad=BAD)
    answers(rollout, rollout.previous, clock.now, bad=0)

    looks = [look(rollout, clock.advance(minutes=10)) for _ in range(3)]

    assert [check.decision for check in looks] == ["stay"] * 3
    assert all("within the margin" in check.numbers["notices"][0] for check in looks)
    assert notices(rollout.run) == [("bad", "canary")]


def test_another_guardrail_is_told_by_itself(rollout: Rollout, clock: Clock) -> None:
    answers(rollout, rollout.version, clock.now, bad=BAD)
    answers(rollout, rollout.previous, clock.now, bad=0)
    look(rollout, clock.advance(minutes=10))
    answers(rollout, rollout.version, clock.now, bad=BAD, slow=BAD)
    answers(rollout, rollout.previous, clock.now, bad=0)

    look(rollout, clock.advance(minutes=10))

    assert notices(rollout.run) == [("bad", "canary"), ("slow", "canary")]


def test_what_leads_to_a_rollback_is_told_by_the_mail_about_the_rollback(rollout: Rollout, clock: Clock) -> None:
    answers(rollout, rollout.version, clock.now, bad=5 * BAD, slow=BAD)
    answers(rollout, rollout.previous, clock.now, bad=0)

    check = look(rollout, clock.advance(minutes=10))

    assert check.decision == "roll_back" and check.numbers["notices"]
    assert notices(rollout.run) == []


def test_equal_arms_are_nothing_to_tell(rollout: Rollout, clock: Clock) -> None:
    for version in (rollout.version, rollout.previous):
        answers(rollout, version, clock.now, bad=BAD)

    assert look(rollout, clock.advance(minutes=10)).numbers["notices"] == []
    assert notices(rollout.run) == []


def test_the_monitor_tells_too_and_not_again_what_was_told(rollout: Rollout, clock: Clock) -> None:
    answers(rollout, rollout.previous, clock.now - timedelta(hours=2), bad=0)
    Exchange.objects.update(rollout=None)
    answers(rollout, rollout.version, rollout.went_live_at, bad=BAD)

    for _ in range(2):
        decision = watch.look(rollout, rollout.run.revision.settings, clock.advance(hours=1))
        assert [noticed.guardrail for noticed in decision.notices] == ["bad"]

    assert notices(rollout.run) == [("bad", "monitor")]


@pytest.mark.parametrize(("days_ago", "move"), [(0, "continue"), (1, "roll_back")])
def test_slow_answers_are_judged_by_the_same_hour_only(
    rollout: Rollout, clock: Clock, days_ago: int, move: str
) -> None:
    """A young pipeline's deck is of another hour, when the host may have been less busy."""
    hour = rollout.went_live_at - timedelta(hours=2 if days_ago == 0 else 24 * days_ago)
    answers(rollout, rollout.previous, hour, bad=0)
    Exchange.objects.update(rollout=None)
    answers(rollout, rollout.version, rollout.went_live_at, bad=0, slow=KEYS)

    assert watch.look(rollout, rollout.run.revision.settings, clock.advance(hours=1)).move == move


def test_the_mail_is_sent_by_the_outbox(rollout: Rollout, clock: Clock, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    answers(rollout, rollout.version, clock.now, bad=BAD)
    answers(rollout, rollout.previous, clock.now, bad=0)
    now = clock.advance(minutes=10)
    look(rollout, now)

    assert outbox.send_due(Notice.objects.get(kind="noticed").pk, now)

    (sent,) = mail.outbox
    assert sent.subject == "Acorn Support v2 differs from production (bad output)"
    assert "28 of 600 keys" in sent.body
