"""A run's page: followed while it is live, decided where a person must."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines.domain.transitions import RunStatus
from pipelines.models import Check, Example, GateResult, Job, Rollout, Run, StageRun
from tenants.models import AuditEvent, Client, Pipeline
from tests import factories

HTMX = {"HX-Request": "true", "HX-Target": "div#run-live"}


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def page_of(run: Run) -> str:
    return reverse("run", args=["acorn", "support", run.number])


def decision(run: Run, name: str) -> str:
    return reverse("decide", args=["acorn", "support", run.number, name])


def test_a_live_run_polls_itself_and_one_that_is_over_does_not(viewer: Browser, support: Pipeline) -> None:
    over = factories.make_run(support, at="compare", status="rejected")
    live = factories.make_run(support, at="finetune", status="running")

    assert "every 2s" in viewer.get(page_of(live)).text
    assert "every 2s" not in viewer.get(page_of(over)).text


def test_the_same_address_answers_the_live_part_alone(viewer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="finetune", status="running")

    response = viewer.get(page_of(run), headers=HTMX)

    assert response.text.lstrip().startswith('<div id="run-live"')
    assert "<html" not in response.text and "HX-Target" in response["Vary"]


def test_the_bar_shows_all_seven_stages_with_their_states(viewer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="evaluate", status="running")

    stages = viewer.get(page_of(run)).context["page"].stages

    assert [s.state for s in stages] == ["done", "done", "done", "now", "todo", "todo", "todo"]
    assert all(s.seconds is not None for s in stages[:4]) and stages[4].seconds is None


def test_a_stage_that_is_switched_off_is_shown_so(viewer: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn, stages=("trigger", "finetune", "evaluate", "deploy"))
    run = factories.make_run(pipeline, at="finetune", status="running")

    states = {s.name: s.state for s in viewer.get(page_of(run)).context["page"].stages}

    assert {name for name, state in states.items() if state == "off"} == {"validate", "compare", "monitor"}


@pytest.mark.parametrize(("at", "status"), [("finetune", "failed"), ("compare", "rejected"), ("deploy", "held")])
def test_the_page_opens_on_the_stage_that_stands_in_the_way(
    viewer: Browser, support: Pipeline, at: str, status: str
) -> None:
    run = factories.make_run(support, at=at, status=status)

    stages = viewer.get(page_of(run)).context["page"].stages

    assert [s.name for s in stages if s.is_open] == [at]


def test_a_jobs_progress_and_numbers_are_shown(viewer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="finetune", status="running")
    progress = {"progress": 0.42, "note": "epoch 2 of 3", "numbers": {"loss": 0.3127}}
    with factories.inside(run):
        Job.of(
            run,
            run=run,
            stage="finetune",
            kind="train",
            queue="gpu",
            status="running",
            progress=progress,
            created_at=factories.NOW,
        ).save()

    text = viewer.get(page_of(run)).text

    assert 'value="42"' in text and "epoch 2 of 3" in text and "0.313" in text


def test_what_a_model_wrote_is_escaped(viewer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="compare", status="rejected")
    with factories.inside(run):
        fields = {"name": "accuracy", "kind": "task", "effect": "block", "verdict": "failed", "judge_version": 1}
        GateResult.of(
            run, run=run, position=0, sentence="<script>alert(1)</script>", created_at=factories.NOW, **fields
        ).save()

    text = viewer.get(page_of(run)).text

    assert "<script>alert" not in text and "&lt;script&gt;alert" in text


def test_a_task_gate_says_its_bounds_and_what_so_many_cases_can_find(viewer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="compare", status="rejected")
    drop = {"drop": 0.05, "drop_low": 0.0213, "drop_high": 0.0816}
    with factories.inside(run):
        fields = {"name": "accuracy", "kind": "task", "effect": "block", "verdict": "failed", "judge_version": 2}
        row = GateResult.of(run, run=run, position=0, sentence="worse", created_at=factories.NOW, **fields)
        row.numbers = {"n": 1240, "mde": 0.0418} | drop
        row.save()

    text = viewer.get(page_of(run)).text

    assert "Difference -5.0 points, between -8.2 and -2.1 (each bound 95 % sure)." in text
    assert "1,240 cases find a drop of 4.2 points in 80 % of runs." in text


def test_the_validation_report_names_rules_rows_and_places(viewer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="finetune", status="running")
    with factories.inside(run):
        Example.objects.filter(line=3).update(
            state="quarantined", rule="near_duplicate", pointer="/messages/0", detail="like line 1"
        )

    page = viewer.get(page_of(run))

    assert page.context["page"].data.counts == (("quarantined", "near_duplicate", 1),)
    assert "like line 1" in page.text and "/messages/0" in page.text


def test_an_approval_sends_the_run_on_and_stands_in_the_ledger(engineer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="deploy", status="held")

    response = engineer.post(decision(run, "approve"), {"reason": "looked at 30 answers"})

    assert response.status_code == 303
    with factories.inside(run):
        assert Run.objects.get(pk=run.pk).approvals["deploy"][-1]["by"] == "engineer@north.example"
        assert AuditEvent.objects.filter(verb="run.approve").get().detail["reason"] == "looked at 30 answers"


@pytest.mark.parametrize(("name", "status"), [("reject", "rejected"), ("cancel", "cancelled")])
def test_a_held_run_can_be_turned_down_or_called_off(
    engineer: Browser, support: Pipeline, name: str, status: str
) -> None:
    run = factories.make_run(support, at="compare", status="held")

    engineer.post(decision(run, name), {"reason": "not this week"})

    with factories.inside(run):
        assert Run.objects.get(pk=run.pk).status == status


def test_a_decision_without_a_reason_changes_nothing(engineer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="compare", status="held")

    response = engineer.post(decision(run, "approve"), {"reason": "  "})

    assert response.status_code == 422 and "reason" in response.context["form"].errors
    with factories.inside(run):
        assert Run.objects.get(pk=run.pk).status == "held"


def test_a_decision_that_comes_too_late_is_refused_with_a_sentence(engineer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="compare", status="rejected")

    response = engineer.post(
        decision(run, "approve"), {"reason": "good enough"}, headers=HTMX | {"HX-Target": "div#dialog-body"}
    )

    assert response.status_code == 422 and "Only a held run can be decided" in response.text
    assert "<html" not in response.text and 'value="good enough"' in response.text


def test_only_what_a_run_allows_is_offered_and_nothing_to_a_viewer(
    engineer: Browser, viewer: Browser, support: Pipeline
) -> None:
    over = factories.make_run(support, at="compare", status="rejected")
    held = factories.make_run(support, at="compare", status="held")

    offered = [d.name for d in engineer.get(page_of(held)).context["decisions"]]
    assert offered == ["approve", "reject", "acknowledge", "cancel"]
    assert engineer.get(page_of(over)).context["decisions"] == []
    assert decision(held, "approve") not in viewer.get(page_of(held)).text


def test_an_unknown_decision_is_not_there(engineer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="compare", status="held")

    assert engineer.get(decision(run, "delete")).status_code == 404


def test_a_version_in_the_traffic_is_taken_back_and_not_cancelled(engineer: Browser, support: Pipeline) -> None:
    factories.make_production(support)
    run = factories.make_run(support, at="monitor", status="waiting")

    response = engineer.get(page_of(run))

    assert response.context["decisions"] == []
    assert "Back to v1" in response.text and reverse("roll-back", args=["acorn", "support", 1]) in response.text


def test_held_data_is_confirmed_in_those_words(engineer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="validate", status="held")

    assert "Confirm" in [str(d.button) for d in engineer.get(page_of(run)).context["decisions"]]
    assert "The data is as it should be" in engineer.get(decision(run, "approve")).text


def test_the_checks_report_counts_rows_and_sets_the_labels_side_by_side(viewer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="validate", status="held")
    report = {"rows": 140, "malformed": 2, "usable": 131}
    shares = {"new": {"billing": 120, "returns": 11}, "existing": {"billing": 40}, "breaches": ["0.41 > 0.30"]}
    with factories.inside(run):
        StageRun.objects.filter(run=run, stage="validate").update(notes=report | {"distribution": shares})

    response = viewer.get(page_of(run))

    data = response.context["page"].data
    assert (data.rows, data.malformed, data.usable) == (140, 2, 131)
    lines = [(line.name, line.new, line.existing, round(line.new_width)) for line in data.charts[0].lines]
    assert lines == [("billing", 120, 40, 92), ("returns", 11, 0, 8)]
    assert "0.41 &gt; 0.30" in response.text


def test_the_latest_looks_are_shown_and_the_rest_counted(viewer: Browser, support: Pipeline) -> None:
    factories.make_production(support)
    run = factories.make_run(support, at="monitor", status="waiting")
    with factories.inside(run):
        rollout = Rollout.objects.get(run=run)
        fields = {"phase": "monitor", "decision": "continue", "at": factories.NOW}
        for number in range(20):
            Check.of(rollout, rollout=rollout, number=number, sentence=f"look {number}", **fields).save()

    looks = viewer.get(page_of(run)).context["page"].monitor

    assert [check.number for check in looks.latest] == list(range(19, 11, -1)) and looks.earlier == 12


def test_a_run_that_ended_offers_its_stages_again_and_asks_why(
    engineer: Browser, viewer: Browser, support: Pipeline
) -> None:
    run = factories.make_run(support, at="compare", status="rejected")
    page, ask = page_of(run), reverse("rerun", args=["acorn", "support", run.number, "validate"])

    assert engineer.get(page).text.count("Re-run from this stage") == 4
    assert "Re-run from this stage" not in viewer.get(page).text
    assert "judges the same rows again" in engineer.get(ask).text
    assert engineer.post(ask, {"reason": ""}).status_code == 422

    answer = engineer.post(ask, {"reason": "labels were mended"})

    assert answer.status_code == 303 and answer["Location"].endswith("/runs/2/")
    with factories.inside(support):
        new = Run.objects.get(number=2)
    assert new.occasion | {"of": 1, "from": "validate", "reason": "labels were mended"} == new.occasion
    assert "went on from Validate" in engineer.get(page).text
    assert "run</a>" not in engineer.get(page_of(new)).text and "run 1</a>" in engineer.get(page_of(new)).text


def test_a_stage_that_cannot_be_run_again_says_why_and_has_no_button(engineer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="compare", status="rejected")

    text = engineer.get(reverse("rerun", args=["acorn", "support", run.number, "evaluate"])).text

    assert "no longer in the store. Re-run it from Fine-tune." in text
    assert 'name="reason"' not in text


def test_a_stage_says_how_long_it_usually_takes(viewer: Browser, support: Pipeline) -> None:
    for minutes in (2, 4, 9):
        past = factories.make_run(support, at="compare", status="rejected")
        with factories.inside(past):
            row = StageRun.objects.get(run=past, stage="finetune")
            StageRun.objects.filter(pk=row.pk).update(finished_at=row.started_at + timedelta(minutes=minutes))
    run = factories.make_run(support, at="finetune", status="running")

    response = viewer.get(page_of(run))

    usual = {s.name: s.usual_s for s in response.context["page"].stages}
    assert usual["finetune"] == 240 and usual["monitor"] is None
    assert "usually 4 min" in response.text


def test_the_log_of_the_job_in_hand_is_shown_and_its_tab_has_the_colour_of_the_state(
    viewer: Browser, support: Pipeline
) -> None:
    run = factories.make_run(support, at="finetune", status="running")
    with factories.inside(run):
        fields = {"stage": "finetune", "kind": "train", "queue": "gpu", "status": "running", "log_tail": "step 7 <b>"}
        Job.of(run, run=run, created_at=factories.NOW, **fields).save()

    text = viewer.get(page_of(run)).text

    assert "step 7 &lt;b&gt;" in text
    assert 'data-icon="/static/favicon-info.svg"' in text


def test_who_read_an_older_reason_decides_nothing_about_a_newer_one(engineer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="compare", status="held")
    seen = engineer.get(decision(run, "approve")).context["run"].version
    with factories.inside(run):
        run.refresh_from_db()
        run.move(RunStatus.QUEUED, "approved by somebody else", factories.NOW)
        run.move(RunStatus.HELD, "deploy: no enabled host", factories.NOW, stage="deploy", due_at=None)

    answer = engineer.post(decision(run, "approve"), {"reason": "fine by me", "seen": str(seen)})

    assert answer.status_code == 422 and "held for another reason" in answer.text
    assert "no enabled host" in answer.text and "fine by me" in answer.text
    with factories.inside(run):
        run.refresh_from_db()
    assert run.status == "held"
