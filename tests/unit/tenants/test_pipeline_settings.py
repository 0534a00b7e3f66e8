"""Settings that cannot work are refused with a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.domain.gates import spec
from tenants.models.settings_revision import flatten
from tenants.pipeline_settings import RULES_OF_KIND, STAGES, PipelineSettings, default_gates


def gate(**changes: Any) -> dict[str, Any]:
    return default_gates()[0].model_dump(mode="json") | changes


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"criteria": {"metrics": ["brilliance"]}}, "Unknown metric: brilliance"),
        ({"gates": [gate(metric="rougeL")]}, "needs metric rougeL, which is not among the criteria"),
        ({"gates": [gate(), gate()]}, "Two gates have the same name"),
        ({"gates": [gate(kind="safety", rule="within", limit=1)]}, "evidence of kind safety is judged by: all_pass"),
        ({"gates": [gate(rule="max_drop")]}, "this rule needs a limit"),
        ({"gates": [gate(rule="max_drop", limit=101)]}, "must lie between 0 and 100"),
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


def test_the_settings_rules_are_those_of_the_judge() -> None:
    ours = {kind: set(rules) for kind, rules in RULES_OF_KIND.items()}
    theirs = {kind.value: {rule.value for rule in rules} for kind, rules in spec._RULES_OF.items()}
    assert ours == theirs


def test_stages_keep_the_order_of_the_plan_whatever_the_form_sends() -> None:
    chosen = PipelineSettings.model_validate({"stages": ["deploy", "evaluate", "finetune", "trigger"]}).stages
    assert chosen == tuple(s for s in STAGES if s in chosen)


def test_a_body_that_was_stored_reads_back_as_it_was() -> None:
    body = PipelineSettings().model_dump(mode="json")
    assert flatten(PipelineSettings.model_validate(body).model_dump(mode="json")) == flatten(body)
