"""The metric `judge` through its job: scores beside the answers, who judged, and errors that are never a pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines import judges
from pipelines.artifacts import scratch_of, store_of
from pipelines.domain.verdicts import Verdict
from pipelines.engine.jobs import Work
from pipelines.engine.outcome import Done, Given, Wait
from pipelines.heavy import judge
from pipelines.judges import Endpoint, JudgeDown, Messages, Reply
from pipelines.models import Job, ModelVersion, Run, Scorecard, StageRun
from pipelines.records.scorecard import evidence_of
from pipelines.stages import compare, evaluate
from tenants.judges import allow_judge, withdraw_judge
from tenants.models import Client, JudgeEndpoint, Pipeline
from tests import factories

NOW = factories.NOW
TASK = {"kind": "task", "rule": "at_least_production"}
GATES = [{"name": "accuracy", "metric": "accuracy", **TASK}, {"name": "judged", "metric": "judge", **TASK}]
CASES = 30


class Wise:
    """Prefers the longer answer; `broken` names cases in whose conversation it falls silent."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def version(self) -> str:
        return "digest-1"

    def ask(self, messages: Messages, schema: Any) -> Reply:
        said = messages[-1]["content"]
        if "silence" in said:
            raise JudgeDown("no answer within 60 s")
        a, b = said.split("Answer A:")[1].split("Answer B:")
        return Reply(json.dumps({"better": "A" if len(a) > len(b) else "B"}), "wise-1")

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def wise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(judges.JUDGES, "ollama", f"{__name__}:Wise")


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    criteria = {"metrics": ["accuracy", "judge"], "judge": {"endpoint": "wise", "cases": 20}}
    return factories.make_pipeline(acorn, criteria=criteria, gates=GATES)


def allow(pipeline: Pipeline) -> JudgeEndpoint:
    fields = {"name": "wise", "kind": "ollama", "url": "http://127.0.0.1:9", "model": "wise", "key_name": ""}
    return allow_judge(pipeline.client, fields, "owner@north.example", NOW)


def measured(pipeline: Pipeline, silent: int = 0) -> Run:
    """A run whose evaluation is done: the candidate's answers are longer in 25 of 30 cases."""
    run = factories.make_run(pipeline, at="evaluate")
    production = ModelVersion.objects.filter(pipeline=pipeline, status="production").first()
    cases = [
        {"id": f"c{n}", "messages": [{"role": "user", "content": "silence" if n < silent else f"Question {n}?"}]}
        | {"check": "label", "expected": {"label": "billing"}}
        for n in range(CASES)
    ]
    from pipelines import actions

    made = actions.put_set(pipeline, "heldout", cases, actor="tests", note="", now=NOW)
    arms = {"candidate": lambda n: "long and clear" if n < 25 else "short", "production": lambda n: "middling"}
    rows = [
        {"set": "heldout", "id": f"c{n}", "arm": arm, "check": "label", "score": 1.0, "scores": {"accuracy": 1.0}}
        | {"answer": said(n), "expected": {"label": "billing"}}
        for n in range(CASES)
        for arm, said in arms.items()
        if production or arm == "candidate"
    ]
    accuracy = {"candidate": 1.0, "production": 1.0 if production else None, "higher_is_better": True}
    facts = {"sets": {"heldout": {"kind": "task", "n": CASES, "metrics": {"accuracy": accuracy}}}}
    facts |= {"set_versions": {"heldout": made.version}, "production_version": production.pk if production else None}
    digest = store_of(run.client_id).put_lines(json.dumps(row).encode() for row in rows)
    facts |= {"answers_digest": digest, "times_digest": "", "latency": None, "engine": "llama.cpp"}
    fields = {"queue": "cpu", "status": "succeeded", "result": facts, "created_at": NOW, "finished_at": NOW}
    Job.of(run, run=run, stage="evaluate", kind="evaluate", **fields).save()
    return run


def given_to(run: Run) -> Given:
    return Given(run.revision.settings, {}, StageRun(run=run, stage=run.stage))


def judged(run: Run) -> Scorecard:
    """The stage, its job, and the stage again."""
    given = given_to(run)
    assert isinstance(evaluate.run(run, given, NOW), Wait)
    job = Job.objects.get(run=run, kind="judge")
    job.result, job.status, job.due_at = judge.work(Work(job)), "succeeded", None
    job.save()
    assert isinstance(evaluate.run(run, given, NOW), Done)
    return Scorecard.objects.get(run=run)


def test_each_case_gets_a_score_and_the_card_says_who_judged(support: Pipeline) -> None:
    factories.make_production(support)
    with factories.inside(support):
        allow(support)
        card = judged(measured(support))
        pairs = evidence_of(card).paired["judge"]

    facts = card.cases["heldout"]["judge"]
    assert (facts["n"], facts["wins"] + facts["losses"], facts["error"]) == (20, 20, "")
    assert (facts["model"], facts["version"], facts["models"], facts["prompt_version"]) == (
        "wise",
        "digest-1",
        ["wise-1"],
        2,
    )
    assert card.metrics["judge"]["candidate"] == facts["wins"] / 20
    assert len(pairs.candidate) == 20 and pairs.production is not None
    assert all(pairs.candidate[case] + pairs.production[case] == 1 for case in pairs.candidate)


def test_a_case_that_was_not_judged_makes_the_gate_an_error(support: Pipeline) -> None:
    factories.make_production(support)
    with factories.inside(support):
        allow(support)
        run = measured(support, silent=30)
        judged(run)
        outcome = compare.run(run, given_to(run), NOW)
        gate = run.gates.get(name="judged")

    assert gate.verdict == Verdict.ERROR and "20 of 20 cases could not be judged" in gate.sentence
    assert "no answer within 60 s" in gate.sentence
    assert type(outcome).__name__ == "Hold"


def test_after_the_client_took_its_consent_back_no_row_is_sent(support: Pipeline) -> None:
    factories.make_production(support)
    with factories.inside(support):
        withdraw_judge(allow(support), "owner@north.example", NOW)
        run = measured(support)
        card = judged(run)
        compare.run(run, given_to(run), NOW)

        assert run.gates.get(name="judged").verdict == Verdict.ERROR
    assert "does not allow" in card.cases["heldout"]["judge"]["error"]


def test_a_first_version_has_nobody_to_be_compared_with(support: Pipeline) -> None:
    with factories.inside(support):
        run = measured(support)
        assert isinstance(evaluate.run(run, given_to(run), NOW), Done)
        outcome = compare.run(run, given_to(run), NOW)

        assert "no production yet" in run.gates.get(name="judged").sentence
    assert type(outcome).__name__ == "Hold"


def test_verdicts_of_a_killed_attempt_are_found_again(support: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.make_production(support)
    asked: list[str] = []

    def counting(judge_: Any, pair: Any, wanted: str, salt: str) -> Any:
        asked.append(pair.id)
        if len(asked) == 8:
            raise KeyboardInterrupt
        return real(judge_, pair, wanted, salt)

    real = judge.judge_pair
    monkeypatch.setattr(judge, "judge_pair", counting)
    with factories.inside(support):
        allow(support)
        run = measured(support)
        evaluate.run(run, given_to(run), NOW)
        job = Job.objects.get(run=run, kind="judge")
        with pytest.raises(KeyboardInterrupt):
            judge.work(Work(job))
        log = scratch_of(job.pk) / "judged.jsonl"
        log.write_text(log.read_text() + '["c9", {"verd')  # Killed in the middle of a line.
        monkeypatch.setattr(judge, "wipe_scratch", lambda _pk: None)
        result = judge.work(Work(job))
        judge.work(Work(job))

    assert result["judge"]["n"] == 20 and len(asked) == 8 + 13
    assert len(log.read_text().splitlines()) == 20


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gates": [GATES[1]]}, "never the only task metric"),
        ({"gates": [GATES[1], GATES[0] | {"effect": "flag"}]}, "never the only task metric"),
        ({"criteria": {"metrics": ["accuracy", "judge"]}}, "needs a judge"),
    ],
)
def test_settings_that_leave_all_to_a_judge_are_refused(change: dict[str, Any], sentence: str) -> None:
    from pydantic import ValidationError

    from tenants.pipeline_settings import PipelineSettings

    body = {"criteria": {"metrics": ["accuracy", "judge"], "judge": {"endpoint": "wise"}}, "gates": GATES} | change
    with pytest.raises(ValidationError, match=sentence):
        PipelineSettings.model_validate(body)
