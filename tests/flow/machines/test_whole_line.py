"""Training, building and evaluating for real, here and on a machine: the same errands, the same results by digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.utils.timezone import now

from pipelines import plan
from pipelines.artifacts import store_of
from pipelines.heavy import build, measure, preflight, train
from pipelines.models import Job, ModelVersion, Run
from pipelines.work.gguf_header import check
from pipelines.worker.abilities import abilities
from pipelines.worker.link import Link
from pipelines.worker.program import Program
from tenants import machines, scope
from tenants.actions import put_eval_set
from tenants.models import Pipeline
from tests import factories
from tests.flow.test_line import start

REAL = {"preflight": preflight.work, "train": train.work, "build": build.work, "evaluate": measure.work}
OVERRIDES = {
    "data": {"min_new_examples": 10},
    "recipe": {"epochs": 1},
    "triggers": {"new_examples": None},
    "criteria": {"max_answer_tokens": 8, "context_tokens": 256},
}
KINDS = ("train", "build", "evaluate")


def case(number: int) -> dict[str, Any]:
    asked = {"role": "user", "content": f"where is parcel {number} that was promised"}
    return {"id": f"c{number}", "messages": [asked], "check": "label", "expected": {"label": "delivery"}}


@pytest.fixture
def pipeline(transactional_db: None, quick_jobs: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    for kind, handler in REAL.items():
        monkeypatch.setitem(plan.JOBS, kind, handler)
    made = factories.make_pipeline(**OVERRIDES)
    with factories.inside(made):
        put_eval_set(made, "heldout", [case(1), case(2), case(3)], "tests", factories.NOW)
        yield made


@contextmanager
def machine_of(pipeline: Pipeline, url: str, folder: Path) -> Iterator[Program]:
    """A trusted one with everything that is needed, in this process; its children are its own."""
    with scope.agency_scope(pipeline.agency_id):
        terms = {"actor": "owner", "now": now()}
        _row, token = machines.add_machine(pipeline.agency, "box", ("cpu", "gpu"), True, **terms)
    program = Program(Link(url, token, pause_s=0.5), folder)
    program.folder.mkdir()
    program.wipe()
    program.link.post("hello", abilities(folder) | {"memory_bytes": 64 * 2**30}, lambda: False)
    yield program


@pytest.mark.parametrize("where", ["here", "machine"])
def test_a_version_is_trained_built_and_measured(
    where: str, pipeline: Pipeline, add_rows: Callable[..., None], live_server: Any, tmp_path: Path
) -> None:
    add_rows(0, 12)
    if where == "here":
        run = start(pipeline)
    else:
        with machine_of(pipeline, live_server.url, tmp_path / "box") as box:
            run = start(pipeline)
            for kind in KINDS:
                assert box.claim_one(lease_s=60), kind
            assert not any(box.scratch.iterdir())
    run = Run.objects.get(pk=run.pk)
    jobs = {job.kind: job for job in Job.objects.filter(run=run)}
    said = {kind: (jobs[kind].status, jobs[kind].error) for kind in jobs}
    assert said == dict.fromkeys(("preflight", *KINDS), ("succeeded", ""))
    assert [bool(jobs[kind].handed) for kind in KINDS] == [where == "machine"] * 3
    version, measured = ModelVersion.objects.get(run=run), jobs["evaluate"].result

    assert check(store_of(run.client_id).verified(version.gguf_digest)).architecture == "llama"
    assert measured["candidate_digest"] == version.gguf_digest
    assert measured["sets"]["heldout"]["n"] == 3
    assert len(measured["golden_answers"]) == 3
