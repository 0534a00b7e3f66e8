"""A worker is killed before each single write of the whole line; another takes over, and what is left is the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import actions
from pipelines.domain.transitions import LIVE_RUNS
from pipelines.engine import dispatch
from pipelines.models import DatasetVersion, Example, Notice, Run, Source
from pipelines.plan import PLAN
from pipelines.records import dataset, shares
from tenants.models import Pipeline
from tests import factories
from tests.faults.world import Step, World, effects, forget_effects, picture, was_killed
from tests.flow.conftest import lines, quick_jobs

__all__ = ("quick_jobs",)
CANARY = {
    "steps": [{"share": 0.05, "min_duration_s": 60}, {"share": 0.25, "min_duration_s": 60}],
    "check_every_s": 300,
    "max_step_s": 500,
    "min_keys": 0,
}
MOST_WRITES = 100


class LostMessages:
    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        """A broker that forgets everything."""


@pytest.fixture
def world(
    transactional_db: None, quick_jobs: dict[int, int], settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    settings.EMAIL_BACKEND = "agency.mail.files.EmailBackend"
    settings.VAR, settings.LEASE_S, settings.JOB_LEASE_S = tmp_path, 2.0, 2.0
    monkeypatch.setattr(dispatch, "engine", LostMessages)
    plan = {"rollout": CANARY, "monitor": {"duration_s": 3600}, "remind_after_s": None, "escalate_after_s": None}
    off = {"new_examples": None, "quality_below": None}
    made = factories.make_pipeline(data={"min_new_examples": 10}, triggers=off, **plan)
    with factories.inside(made):
        yield World(made)


@pytest.fixture
def in_many_writes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset that is frozen in many small writes: some rows of one source are too many."""
    monkeypatch.setattr(dataset, "CLAIMED_AT_ONCE", 8)
    monkeypatch.setattr(shares, "CHUNK", 3)
    actions.add_examples(world.pipeline, lines(500, 12), token="s", source="synthetic", actor="tests", now=world.now)
    Source.objects.filter(name="synthetic").update(max_share=0.1)


def start(world: World, first: int) -> Run:
    actions.add_examples(world.pipeline, lines(first, 30), token=f"t{first}", actor="tests", now=world.now)
    return actions.start_run(world.pipeline, actor="owner", now=world.now)


def walk(world: World, run: Run, killed: str = "") -> Counter[str]:
    """To the end of the run, each step of that name killed before each of its writes. Gives the kills per step."""
    kills: Counter[str] = Counter()
    while (step := next_step(world, run)) is not None:
        if step.what.startswith(killed):
            kills[step.what] += kill_everywhere(world, step)
        else:
            world.do(step)
    return kills


def next_step(world: World, run: Run) -> Step | None:
    step = world.next_step()
    row = Run.objects.get(pk=run.pk)
    if row.status == "held" and (step is None or step in world.looked):
        actions.approve(row, actor="owner", reason="go on", now=world.now)
        return world.next_step()
    if row.status == "held" and step is not None and step.model is Run:
        world.looked.add(step)  # A held run with a version in traffic is looked at without end: once is enough here.
    assert step is not None or row.status not in LIVE_RUNS, f"{row} is {row.status} and nothing is due"
    return step


def kill_everywhere(world: World, step: Step) -> int:
    """Leaves the world as if nobody had been killed; gives how many were."""
    world.save()
    forget_effects()
    before = picture()
    world.do(step)
    right, landed = picture(), effects()
    if right == before and step.what in world.idle:
        return 0  # Fifty looks that decide nothing write the same: one of them is killed.
    world.idle.update({step.what} if right == before else ())
    for number in range(MOST_WRITES):
        with world.undone():
            forget_effects()
            if not was_killed(number, lambda: world.do(step)):
                assert (picture(), effects()) == (right, landed)
                return number
            world.do_when_due(step)
            where = f"{step.what}, killed before write {number}"
            found = picture()
            assert {name: set(rows) ^ set(right[name]) for name, rows in found.items() if rows != right[name]} == {}, (
                where
            )
            # An attempt that died before it was settled is done again, once.
            assert set(effects()) == set(landed), where
            assert len(effects()) <= 2 * len(landed), where
    raise AssertionError(f"{step.what} writes more than {MOST_WRITES} times")


def message_ids(folder: Path) -> list[str]:
    texts = [path.read_text(errors="replace") for path in folder.glob("*")]
    return [line for text in texts for line in text.splitlines() if line.lower().startswith("message-id:")]


def test_the_first_version_survives_a_kill_before_any_write_of_its_whole_way(
    world: World, in_many_writes: None, settings: Any
) -> None:
    kills = walk(world, start(world, 0))
    frozen = DatasetVersion.objects.get()
    assert (frozen.rows_total, frozen.rows_new, frozen.left_out) == (33, 33, {"synthetic": 9})
    assert Example.objects.filter(dataset=frozen).count() == 33
    assert {f"stage {stage.name}" for stage in PLAN.stages} <= kills.keys()
    assert {f"job {kind}" for kind in ("preflight", "train", "build", "evaluate", "push", "alias")} <= kills.keys()
    assert all(kills.values()), kills
    run = Run.objects.get()
    assert run.status == "succeeded"
    sent = list(Notice.objects.values_list("kind", flat=True).order_by("id"))
    assert sent == ["held", "decided", "promoted"]
    assert list(Notice.objects.filter(sent_at=None).values_list("kind", flat=True)) == ["decided"]
    assert len(set(message_ids(settings.EMAIL_FILE_PATH))) == 2


def test_a_canary_survives_a_kill_before_any_write_of_each_of_its_looks(world: World) -> None:
    walk(world, start(world, 0), killed="none")
    run = start(world, 1000)
    kills = walk(world, run, killed="stage")
    assert kills["stage deploy"] > 0
    assert kills["stage monitor"] > 0
    assert Run.objects.get(pk=run.pk).status == "succeeded"
    assert Pipeline.objects.get().state.production.number == 2
