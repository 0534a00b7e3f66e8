"""A prompt run: the same weights under a new system prompt, past every gate and on to the traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from django.utils.timezone import now

from pipelines import actions
from pipelines.actions import ActionRefused
from pipelines.artifacts import store_of
from pipelines.domain.prompting import with_system
from pipelines.heavy.arms import manner_of
from pipelines.heavy.push import parameters_of
from pipelines.models import DatasetVersion, ModelVersion, PipelineState, Rollout, Run
from pipelines.shipping.promotion import promote
from tenants.models import EvalCase, EvalSet, Pipeline
from tests import factories
from tests.flow.test_line import promoted, watched

USER = {"role": "user", "content": "Where is my order?"}
SYSTEM = {"role": "system", "content": "Sort it."}
LABEL = "Answer with one label."


@pytest.fixture
def first(pipeline: Pipeline, add_rows: Callable[..., None]) -> ModelVersion:
    """Version 1, trained and in production."""
    add_rows(0, 30)
    version: ModelVersion = ModelVersion.objects.get(run=promoted(pipeline))
    return version


def ask(version: ModelVersion, system: str = LABEL, replaces: bool = False, **parameters: Any) -> Run:
    prompt = actions.read_prompt(system, replaces, parameters)
    run = actions.start_prompt_run(version, prompt, actor="owner", reason="clearer", now=now())
    return Run.objects.get(pk=run.pk)


def through(run: Run) -> Run:
    """The run after its canary, whose evidence is another test's business."""
    assert (run.status, run.stage) == ("waiting", "deploy")
    promote(Rollout.objects.get(run=run), now())
    return watched(run)


def add_case(pipeline: Pipeline, *messages: dict[str, str]) -> None:
    number = EvalSet.objects.filter(pipeline=pipeline, kind="heldout").count() + 1
    fields = {"pipeline": pipeline, "kind": "heldout", "version": number, "size": 1, "created_at": factories.NOW}
    made = EvalSet.of(pipeline, **fields)
    made.save()
    case = {"messages": list(messages), "check_name": "label", "expected": {"label": "billing"}}
    EvalCase.of(pipeline, eval_set=made, key="c1", input_digest="0" * 64, **case).save()


def test_a_prompt_run_trains_nothing_and_goes_the_rest_of_the_way(first: ModelVersion, pipeline: Pipeline) -> None:
    run = through(ask(first, stop=["\n"], num_predict=5))
    assert run.status == "succeeded"
    assert list(run.stages.order_by("id").values_list("stage", flat=True)) == [
        "trigger", "evaluate", "compare", "deploy", "monitor",
    ]  # fmt: skip
    assert not run.jobs.filter(kind__in=("preflight", "train", "build")).exists()
    version = ModelVersion.objects.get(run=run)
    assert (version.number, version.parent, version.gguf_digest) == (2, first, first.gguf_digest)
    assert PipelineState.objects.get(pipeline=pipeline).production == version
    assert Rollout.objects.get(run=run).previous == first
    assert run.gates.count() > 0
    assert not DatasetVersion.objects.filter(run=run).exists()
    assert version.placements.get().model_name.endswith(":v2")


def test_its_card_tells_what_is_its_own_and_leaves_the_parents_card_alone(first: ModelVersion) -> None:
    version = ModelVersion.objects.get(run=through(ask(first, replaces=True)))
    place = store_of(first.client_id).path(first.gguf_digest)
    own = yaml.safe_load(place.with_name(f"{place.name}.v2.version.yaml").read_text())
    assert own["prompt"]["weights_of"] == "v1"
    assert own["prompt"] | {"system": LABEL, "replaces_system": True} == own["prompt"]
    assert yaml.safe_load(place.with_name(f"{place.name}.version.yaml").read_text())["version"] == "v1"
    assert version.dataset == first.dataset


def test_a_prompt_version_is_rolled_back_like_any_other(first: ModelVersion, pipeline: Pipeline) -> None:
    through(ask(first))
    actions.roll_back(pipeline, to=first, actor="owner", reason="wrong tone", now=now())
    assert PipelineState.objects.get(pipeline=pipeline).production == first
    assert ModelVersion.objects.get(number=2).status == "rolled_back"


def test_what_ships_is_what_was_measured(first: ModelVersion) -> None:
    version = ModelVersion.objects.get(run=ask(first, replaces=True, stop=["\n"], num_predict=5))
    manner = manner_of(version, version.run.revision.settings)
    assert (manner["system"], manner["replaces"], manner["stop"]) == (LABEL, True, ["\n"])
    assert (manner["most_tokens"], manner["samples"]) == (5, False)
    baked = parameters_of(version, ("<|im_end|>", "\n"))
    assert baked == {"temperature": 0, "num_ctx": 2048, "num_predict": 5, "stop": ["<|im_end|>", "\n"]}


def test_a_change_that_no_case_would_see_is_refused(first: ModelVersion, pipeline: Pipeline) -> None:
    add_case(pipeline, SYSTEM, USER)
    with pytest.raises(ActionRefused, match="brings a system prompt of its own"):
        ask(first)
    assert ask(first, replaces=True).status != "queued"


def test_a_case_of_an_older_set_shows_nothing(first: ModelVersion, pipeline: Pipeline) -> None:
    """An evaluation asks the newest set of each kind only."""
    add_case(pipeline, USER)
    add_case(pipeline, SYSTEM, USER)
    with pytest.raises(ActionRefused, match="brings a system prompt of its own"):
        ask(first)


def test_nothing_new_nothing_unmeasured_and_nothing_broken_is_started(first: ModelVersion) -> None:
    for system, parameters, words in (
        ("", {}, "Nothing differs from v1"),
        ("", {"temperature": 0.7}, "temperature can only be measured on a host"),
        ("a\x00b", {}, "NUL"),
        ("x" * 20_001, {}, "at most 20,000"),
        ("", {"num_predict": -1}, "Parameter num_predict"),
        ("", {"seed": 1}, "Parameter seed"),
    ):
        with pytest.raises(ActionRefused, match=words):
            ask(first, system, **parameters)
    assert Run.objects.count() == 1


def test_a_system_prompt_is_given_where_there_is_none_or_in_place_of_another() -> None:
    baked = {"role": "system", "content": "New."}
    assert with_system([USER], "New.", False) == [baked, USER]
    assert with_system([SYSTEM, USER], "New.", False) == [SYSTEM, USER]
    assert with_system([SYSTEM, USER], "New.", True) == [baked, USER]
    assert with_system([SYSTEM, USER], "", True) == [SYSTEM, USER]
