"""Settings that cannot work are refused with a sentence."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.domain.gates import spec
from pipelines.stages.compare import spec_of
from tenants.models.settings_revision import SettingsRevision, flatten
from tenants.pipeline_settings import (
    METRIC_OF_KIND,
    RULES_OF_KIND,
    STAGES,
    Criteria,
    Gate,
    PipelineSettings,
    default_gates,
)


def gate(**changes: Any) -> dict[str, Any]:
    return default_gates()[0].model_dump(mode="json") | changes


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"triggers": {"schedule": {"at": 840}}}, "840” is no time of day"),
        ({"triggers": {"schedule": {"at": "14:00+02:00"}}}, "is no time of day"),
        ({"criteria": {"metrics": ["brilliance"]}}, "Unknown metric: brilliance"),
        ({"gates": [gate(metric="rougeL")]}, "needs metric rougeL, which is not among the criteria"),
        ({"gates": [gate(), gate()]}, "Two gates have the same name"),
        ({"gates": [gate(kind="safety", rule="within", limit=1)]}, "evidence of kind safety is judged by: all_pass"),
        ({"gates": [gate(rule="max_drop")]}, "this rule needs a limit"),
        ({"gates": [gate(rule="max_drop", limit=101)]}, "must lie between 0 and 100"),
        ({"gates": [gate(rule="max_drop", limit=5, relative=True)]}, "must lie between 0 and 1"),
        ({"gates": [gate(rule="absolute", limit=80)]}, "must lie between 0 and 1"),
        ({"gates": [gate(kind="size", metric="gguf_bytes", rule="within", limit=50)]}, "must lie between 0 and 10"),
        ({"gates": [gate(kind="latency", metric="charm", rule="within", limit=0.1)]}, "kind latency is latency_p95"),
        ({"stages": ["trigger", "deploy"]}, "must be of"),
        ({"triggers": {"schedule": {"rule": "FREQ=SOMETIMES"}}}, "Not an RFC 5545 rule"),
        ({"triggers": {"schedule": {"rule": "FREQ=HOURLY"}}}, "runs at most daily"),
        (
            {"rollout": {"steps": [{"share": 0.25, "min_duration_s": 1}, {"share": 0.05, "min_duration_s": 1}]}},
            "larger share",
        ),
        ({"recipients": ["not an address"]}, "email"),
        ({"colour": "blue"}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(body: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        PipelineSettings.model_validate(body)


def test_a_schedule_stored_with_an_offset_is_read_as_it_ran() -> None:
    body = PipelineSettings(triggers={"schedule": {}}).model_dump(mode="json")
    body["triggers"]["schedule"]["at"] = "00:14:00Z"

    schedule = SettingsRevision(body=body).settings.triggers.schedule

    assert schedule is not None and schedule.at == time(0, 14)


def test_the_settings_rules_are_those_of_the_judge() -> None:
    ours = {kind: set(rules) for kind, rules in RULES_OF_KIND.items()}
    theirs = {kind.value: {rule.value for rule in rules} for kind, rules in spec._RULES_OF.items()}
    assert ours == theirs


@pytest.mark.parametrize(
    ("kind", "rule", "relative"),
    [
        (kind, rule, relative)
        for kind, rules in RULES_OF_KIND.items()
        for rule in sorted(rules)
        for relative in (False, True)
    ],
)
def test_every_limit_that_is_let_in_is_one_that_the_judge_can_work_with(kind: str, rule: str, relative: bool) -> None:
    made = Gate.model_validate(
        gate(kind=kind, metric=METRIC_OF_KIND.get(kind, "accuracy"), rule=rule, relative=relative, limit=0)
    )
    for limit in (0.0, made.highest_limit):
        spec.check_spec(spec_of(made.model_copy(update={"limit": limit}), Criteria()))


def test_a_size_and_a_time_are_limited_in_their_own_units() -> None:
    for kind, metric, limit in (("latency", "latency_p95", 500), ("size", "gguf_bytes", 150_000_000)):
        assert Gate.model_validate(gate(kind=kind, metric=metric, rule="absolute", limit=limit)).limit == limit


def test_stages_keep_the_order_of_the_plan_whatever_the_form_sends() -> None:
    chosen = PipelineSettings.model_validate({"stages": ["deploy", "evaluate", "finetune", "trigger"]}).stages
    assert chosen == tuple(s for s in STAGES if s in chosen)


def test_a_body_that_was_stored_reads_back_as_it_was() -> None:
    body = PipelineSettings().model_dump(mode="json")
    assert flatten(PipelineSettings.model_validate(body).model_dump(mode="json")) == flatten(body)
