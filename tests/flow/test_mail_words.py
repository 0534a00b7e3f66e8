"""What mails say: one per kind, verdict first, hostile text harmless."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.core.mail import EmailMultiAlternatives

from agency.mail import facts
from agency.mail.compose import compose
from agency.mail.kinds import MAIL_KINDS
from agency.mail.words import one_line
from pipelines import outbox
from pipelines.models import Example, GateResult, Job, ModelVersion, Notice, Rollback, Run
from pipelines.notifiers import Message
from tenants.models import Client
from tests import factories

NOW = factories.NOW


@pytest.fixture
def production(in_acorn: Client) -> Run:
    return factories.make_production(factories.make_pipeline(in_acorn))


def next_run(production: Run, at: str = "deploy", status: str = "") -> Run:
    return factories.make_run(production.pipeline, at=at, status=status)


def told(run: Run, kind: str, **detail: object) -> Message:
    return compose(Notice.objects.get(pk=outbox.notify(run, kind, NOW, detail).pk))


def refuse(run: Run) -> None:
    sentence = "accuracy 0.812 < 0.881 (production), n=400, +3/-31 cases, p<0.001"
    GateResult.objects.filter(run=run, name="accuracy").update(verdict="failed", sentence=sentence)
    metrics = {"accuracy": {"candidate": 0.812, "production": 0.881}}
    type(run.scorecard).objects.filter(run=run).update(metrics=metrics)


def set_aside(run: Run) -> None:
    rows = Example.objects.filter(judged_in=run)
    rows.filter(line__lte=3).update(state="quarantined", rule="near_duplicate")
    rows.filter(line=4).update(state="duplicate", rule="exact_duplicate")


def take_back(run: Run) -> None:
    version = ModelVersion.objects.get(run=run)
    sentence = "error 9.1 % against 0.8 % (production): more than 1 point worse, e=214"
    numbers = {"candidate": 0.091, "production": 0.008, "limit": 0.018}
    fields = {"phase": "canary", "metric": "error", "sentence": sentence, "numbers": numbers}
    fields |= {"decided_by": "the canary", "decided_at": NOW}
    earlier = ModelVersion.objects.get(pipeline=run.pipeline, number=1)
    Rollback.of(run, pipeline=run.pipeline, from_version=version, to_version=earlier, **fields).save()


def crash(run: Run) -> None:
    words = {"error": "killed", "log_tail": "step 40\nOut of memory: 7 GiB wanted"}
    Job.objects.filter(run=run, kind="train").update(status="failed", **words)


def nothing_more(run: Run) -> None:
    """The factory's rows say it all."""


# kind: (the stage that the run has reached, what happened there, the subject, what both parts say)
CASES: dict[str, tuple[str, Callable[[Run], None], str, tuple[str, ...]]] = {
    "promoted": ("deploy", nothing_more, "v2 promoted (+3.1 pts)", ("0.881", "0.912", "60 of 60 regression cases")),
    "rejected": ("deploy", refuse, "v2 rejected (accuracy gate)", ("0.812 < 0.881", "-6.9 pts")),
    "stopped": (
        "finetune",
        set_aside,
        "run 2 stopped (4 rows set aside)",
        ("quarantined: near duplicate", "left stopped by a test"),
    ),
    "held": ("deploy", nothing_more, "v2 needs you (deploy)", ("left held by a test", "approve it with a reason")),
    "failed": ("evaluate", crash, "v2 failed (evaluate)", ("Out of memory: 7 GiB wanted",)),
    "rolled_back": ("monitor", take_back, "v2 rolled back to v1 (error)", ("error 9.1 %", "0.018", "the canary")),
    "rollback_stuck": (
        "monitor",
        nothing_more,
        "v2 rollback not through (to v1, given up)",
        ("v1 answers on no host", "Not certain now: "),
    ),
    "noticed": (
        "monitor",
        nothing_more,
        "v2 differs from production (bad output)",
        ("bad output 0.043 (candidate", "within the margin", "candidate rate", "0.043", "less than the margin"),
    ),
    "drill_failed": (
        "monitor",
        nothing_more,
        "v2 no way back (to v1)",
        ("v1 is not on shop", "no traffic moved"),
    ),
    "drift": ("monitor", nothing_more, "v2 changed by hand", ("the template is another one", "No route was changed")),
    "reminder": ("deploy", nothing_more, "v2 still needs you (deploy)", ("March 2, 2026, 20:00", "you look at it")),
    "escalated": ("deploy", nothing_more, "v2 waits for anybody (deploy)", ("March 2, 2026, 20:00", "as an owner")),
    "recovered": ("monitor", nothing_more, "recovered (runs fail, 2 repeats not mailed)", ("March 2, 2026, 20:00",)),
    "decided": ("deploy", nothing_more, "v2 decided", ("no longer waits",)),
    "mail_down": ("monitor", nothing_more, "mail is down", ("nobody takes the connection", "doctor")),
    "mail_up": ("monitor", nothing_more, "mail is sent again", ("on its way",)),
    "channel_off": (
        "monitor",
        nothing_more,
        "ops switched off",
        ("The server answered 503", "Mails go on", "/channels/"),
    ),
}
NOTICED = {
    "guardrail": "bad",
    "phase": "canary",
    "reason": "bad output 0.043 (candidate, 13 of 300 keys) against 0.000 (baseline, 0 of 300): within the margin",
    "numbers": {"candidate_rate": 0.043, "baseline_rate": 0.0},
}


SINCE = "2026-03-02T20:00:00+00:00"
DETAILS = {
    "noticed": NOTICED,
    "rollback_stuck": {"reason": "v1 answers on no host", "rollback": 1, "to": "v1", "given_up": "given up"},
    "drill_failed": {"reason": "v1 is not on shop", "drill": 1, "to": "v1"},
    "reminder": {"since": SINCE},
    "escalated": {"since": SINCE},
    "recovered": {"of": "failed", "since": SINCE, "muted": 2},
    "decided": {},
    "mail_down": {"reason": "The mail server did not take it: nobody takes the connection."},
    "mail_up": {},
    "channel_off": {"reason": "The server answered 503.", "channel": "ops"},
    "drift": {"reason": "the template is another one", "key": "1"},
}


PAGES = {"drill_failed": "c/acorn/support/drills/", "channel_off": "channels/"}


@pytest.mark.parametrize("kind", CASES)
def test_each_kind_says_verdict_reason_and_next_step_in_both_parts(kind: str, production: Run) -> None:
    at, arrange, subject, said = CASES[kind]
    run = next_run(production, at, "" if kind in ("promoted", *DETAILS) else kind)
    arrange(run)

    message = told(run, kind, **DETAILS.get(kind, {}))

    assert message.subject == f"Acorn Support {subject}"
    for part in (message.text, message.html):
        plain = part.replace("&lt;", "<")
        assert [words for words in said if words not in plain] == []
        assert str(MAIL_KINDS[kind].advice) in plain
        page = PAGES.get(kind, f"c/acorn/support/runs/{run.number}/")
        assert f"http://127.0.0.1:8420/{page}" in plain


def test_every_kind_that_the_outbox_knows_has_words() -> None:
    assert set(MAIL_KINDS) == set(outbox.KINDS) == set(CASES)


def test_what_kept_a_candidate_back_comes_before_everything_that_passed(production: Run) -> None:
    run = next_run(production, "deploy", "rejected")
    refuse(run)

    text = told(run, "rejected").text

    assert text.index("0.812 < 0.881") < text.index("What to do") < text.index("60 of 60 regression cases")
    assert text.count("0.812 < 0.881") == 1


def test_a_first_version_has_no_change_to_boast_of(in_acorn: Client) -> None:
    run = factories.make_run(factories.make_pipeline(in_acorn), at="monitor")

    message = told(run, "promoted")

    assert message.subject == "Acorn Support v1 promoted"
    assert "pts" not in message.text


def without_production(run: Run) -> None:
    gates = GateResult.objects.filter(run=run, name__in=("accuracy", "latency"))
    gates.update(verdict="inconclusive", sentence="accuracy: no production yet")


@pytest.mark.parametrize(("kind", "stage"), [("failed", "deploy"), ("held", "compare"), ("rejected", "compare")])
def test_a_first_version_is_not_told_that_it_has_no_rival_for_a_reason(kind: str, stage: str, in_acorn: Client) -> None:
    run = factories.make_run(factories.make_pipeline(in_acorn), at="deploy")
    without_production(run)

    message = told(run, kind, stage=stage, reason="the host shop is down")

    report = facts.gather(Notice.objects.get(kind=kind))
    assert report.failures == ("the host shop is down",)
    assert "gate" not in message.subject


def test_a_first_version_in_service_needs_no_excuse(in_acorn: Client) -> None:
    run = factories.make_run(factories.make_pipeline(in_acorn), at="monitor")
    without_production(run)

    assert "Why" not in told(run, "promoted").text


def test_only_gates_that_decide_are_the_reason_of_a_rejection(production: Run) -> None:
    run = next_run(production, "deploy", "rejected")
    refuse(run)
    gates = GateResult.objects.filter(run=run, name="latency")
    gates.update(verdict="failed", sentence="latency 1.4", waiver=factories.make_waiver(run.pipeline, "latency"))

    assert told(run, "rejected").subject == "Acorn Support v2 rejected (accuracy gate)"


def test_whoever_turned_down_what_could_not_be_measured_is_its_reason(production: Run) -> None:
    run = next_run(production, "deploy", "rejected")
    GateResult.objects.filter(run=run, name="accuracy").update(verdict="error", sentence="accuracy is unknown")

    told(run, "held", stage="compare", reason="accuracy is unknown")
    told(run, "rejected", stage="compare", reason="turned down by owner: too slow")

    held, rejected = Notice.objects.filter(kind__in=("held", "rejected")).order_by("id")
    assert facts.gather(held).failures == ("accuracy is unknown",)
    assert facts.gather(rejected).failures == ("turned down by owner: too slow",)


def test_hostile_text_neither_becomes_markup_nor_breaks_a_line(production: Run) -> None:
    run = next_run(production, "deploy", "rejected")
    refuse(run)
    evil = 'x\r\nBcc: all@example.org\n<script>alert(1)</script><img src="http://evil.example/p.gif">\u202e'
    GateResult.objects.filter(run=run, name="accuracy").update(sentence=evil, name="a<b>\nSubject: owned")
    type(run.pipeline).objects.update(name="Support\r\nBcc: all@example.org <i>")

    message = told(run, "rejected", reason=evil)

    assert not re.search(r"[\r\n\u202e\x00]", message.subject)
    assert "<script" not in message.html and "<img" not in message.html and "<i>" not in message.html
    assert "&lt;script&gt;" in message.html
    assert not re.search(r"(?m)^\s*(Bcc|Subject):", message.text)
    mail = EmailMultiAlternatives(message.subject, message.text, to=["a@example.org"]).message()
    assert mail["Bcc"] is None


def test_the_same_notice_composed_twice_keeps_its_message_id_and_its_run_is_the_thread(production: Run) -> None:
    run = next_run(production, "deploy", "held")

    first, again, other = told(run, "held"), told(run, "held"), told(run, "rejected")

    assert first == again
    assert first.message_id != other.message_id
    assert first.thread_id == other.thread_id
    assert re.fullmatch(r"<[0-9a-f]{32}@localhost>", first.message_id)


def test_styles_stand_on_the_elements_and_nothing_is_fetched(production: Run) -> None:
    html = told(next_run(production), "promoted").html

    assert "<style" not in html
    assert 'style="' in html
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["http://127.0.0.1:8420/c/acorn/support/runs/2/"]


def test_a_recipient_reads_times_in_the_clients_zone(production: Run) -> None:
    run = next_run(production, "monitor", "rolled_back")
    take_back(run)
    Client.objects.update(timezone="Europe/Madrid")

    assert "March 3, 2026, 05:00 CET" in told(run, "rolled_back").text


@pytest.mark.parametrize(
    ("text", "line"), [("a\r\n b\tc", "a b c"), ("\u202eabc", "abc"), ("x" * 12, "x" * 9 + "…"), (7, "7"), ("\x00", "")]
)
def test_one_line_is_one_line(text: object, line: str) -> None:
    assert one_line(text, 10) == line
