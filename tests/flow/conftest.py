"""The line with quick jobs: a pipeline whose runs take milliseconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import actions, plan
from pipelines.hosts.fake import FakeHost
from tenants.models import Host, Pipeline
from tests import factories
from tests.flow import fake_jobs

ROLLOUT = {
    "steps": [{"share": 0.05, "min_duration_s": 0}, {"share": 0.25, "min_duration_s": 0}],
    "check_every_s": 1,
    "min_keys": 0,
    "request_timeout_s": 1,
}


@pytest.fixture
def quick_jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, int]]:
    """The heavy jobs are quick ones; gives the table of how many cases each run's candidate gets wrong."""
    for kind, handler in fake_jobs.HANDLERS.items():
        monkeypatch.setitem(plan.JOBS, kind, handler)
    fake_jobs.WRONG.clear()
    yield fake_jobs.WRONG
    fake_jobs.WRONG.clear()


@pytest.fixture
def pipeline(transactional_db: None, quick_jobs: dict[int, int]) -> Iterator[Pipeline]:
    """Inside its client's scope, with real commits, so that wake-ups are sent as in production."""
    made = factories.make_pipeline(data={"min_new_examples": 10}, rollout=ROLLOUT, triggers={"new_examples": None})
    with factories.inside(made):
        yield made


@pytest.fixture
def unwatched(
    transactional_db: None, quick_jobs: dict[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """Without a monitor: a version is through as soon as it is promoted. Its host is a folder; models are tiny."""
    for kind in ("build", "push"):
        monkeypatch.setitem(plan.JOBS, kind, fake_jobs.ON_HOSTS[kind])
    more: dict[str, Any] = {"rollout": ROLLOUT, "triggers": {"new_examples": None}}
    made = factories.make_pipeline(stages=factories.STAGES[:-1], data={"min_new_examples": 10}, **more)
    with factories.inside(made):
        Host.objects.filter(client_id=made.client_id).update(kind="fake", url=f"fake://{tmp_path / 'host'}")
        yield made


@pytest.fixture
def shop(unwatched: Pipeline) -> FakeHost:
    """The host of `unwatched`."""
    return FakeHost(Host.objects.get(client_id=unwatched.client_id).url)


def lines(first: int, count: int, labels: tuple[str, ...] = factories.LABELS) -> list[bytes]:
    """Distinct examples: no two share a three-word phrase."""
    rows = []
    for n in range(first, first + count):
        said = f"question{n} wording{n} about{n} matter{n} closing{n}"
        answer = {"role": "assistant", "content": labels[n % len(labels)]}
        rows.append(json.dumps({"messages": [{"role": "user", "content": said}, answer]}).encode())
    return rows


@pytest.fixture
def add_rows(request: pytest.FixtureRequest) -> Callable[..., None]:
    """To `pipeline`, or to `unwatched` where the test asks for that."""
    name = "unwatched" if "unwatched" in request.fixturenames else "pipeline"
    pipeline: Pipeline = request.getfixturevalue(name)

    def add(first: int, count: int, *extra: bytes) -> None:
        actions.add_examples(
            pipeline, [*lines(first, count), *extra], token=f"t{first}", actor="tests", now=factories.NOW
        )

    return add
