"""A training is killed by kill -9 in the middle, here or on a machine: it goes on where it was, to the same end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils.timezone import now

from pipelines import plan
from pipelines.artifacts import store_of
from pipelines.engine import jobs
from pipelines.heavy import preflight, train
from pipelines.heavy.children import base_folder
from pipelines.models import DatasetVersion, Job, Run
from pipelines.trainers import checkpoint
from pipelines.work.child import spawn
from pipelines.worker.aside import KEPT_S, Aside
from pipelines.worker.program import limits
from tenants import machines, scope
from tenants.models import Pipeline
from tests import factories
from tests.engines.processes import ROOT, until
from tests.flow import conftest as flow
from tests.flow.test_line import start

EPOCHS = 12
OVERRIDES = {"data": {"min_new_examples": 10}, "recipe": {"epochs": EPOCHS}, "triggers": {"new_examples": None}}


quick_jobs, rows = flow.quick_jobs, flow.add_rows


@pytest.fixture
def pipeline(transactional_db: None, quick_jobs: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    for kind, handler in {"preflight": preflight.work, "train": train.work}.items():
        monkeypatch.setitem(plan.JOBS, kind, handler)
    made = factories.make_pipeline(**OVERRIDES)
    with factories.inside(made):
        yield made


@contextmanager
def program(url: str, token: str, folder: Path, log_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    env = {key: os.environ[key] for key in ("PATH", "LANG", "HOME") if key in os.environ}
    env |= {"RETUNE_URL": url, "RETUNE_TOKEN": token, "RETUNE_POLL_S": "0.2", "RETUNE_WORK_DIR": str(folder)}
    with log_path.open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "pipelines.worker"], cwd=ROOT, env=env, stdout=log, stderr=log
        )
        try:
            yield started
        finally:
            started.terminate()
            started.wait(60)


def trained(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "adapter_model.safetensors"))


def undisturbed(run: Run, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the same order gives in one go: its facts, its weights."""
    recipe = run.revision.settings.recipe
    spec = {
        "trainer": "peft",
        "base": str(base_folder(recipe.base)),
        "dataset": str(store_of(run.client_id).verified(DatasetVersion.objects.get(run=run).digest)),
        "recipe": train.trainer_recipe(recipe),
        "scratch": str(folder / "scratch"),
        "out": str(folder / "out"),
    }
    ended = spawn(
        "train",
        spec,
        scratch=folder / "scratch",
        limits=limits(),
        on_line=lambda line: None,
        cancelled=lambda: False,
        log_path=folder / "log",
    )
    assert ended.result is not None, ended.log_tail
    return dict(ended.result), trained(folder / "out")


def goes_on(run: Run, folder: Path) -> None:
    """The job of a training that was killed took fewer steps again, and made what one that was not killed makes."""
    job = Job.objects.get(run=run, kind="train")
    facts, weights = undisturbed(run, folder / "once")
    assert 0 < job.result["resumed_at_step"] < job.result["steps"]
    told = ("precision", "steps", "last_loss")
    assert [job.result[name] for name in told] == [facts[name] for name in told]
    mine = trained(store_of(run.client_id).unpack_folder(job.result["adapter_digest"], folder / "mine"))
    assert mine.keys() == weights.keys()
    apart = {name: float((mine[name] - weights[name]).abs().max()) for name in weights}
    assert not any(apart.values()), f"resumed at step {job.result['resumed_at_step']}: {apart}"


def kill_child(scratch: Path) -> None:
    """The one that trains somewhere in this folder, as soon as it has a checkpoint."""
    until("it has a checkpoint", lambda: any(scratch.rglob(checkpoint.FILE)), 300)
    mark = str(next(scratch.rglob(checkpoint.FILE)).parent).encode()
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and mark in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def test_a_training_that_is_killed_here_goes_on_where_it_was(
    pipeline: Pipeline, rows: Callable[..., None], tmp_path: Path, settings: Any
) -> None:
    rows(0, 12)
    with ThreadPoolExecutor(1) as beside:
        killing = beside.submit(kill_child, settings.SCRATCH)
        run = start(pipeline)
        killing.result()
    job = Job.objects.get(run=run, kind="train")
    assert (job.status, job.attempts) == ("queued", 1)

    jobs.work_on(job.pk, plan.JOBS, lambda: now() + timedelta(minutes=1))

    goes_on(run, tmp_path)


def test_a_machine_whose_program_is_killed_goes_on_where_it_was(
    pipeline: Pipeline, rows: Callable[..., None], live_server: Any, tmp_path: Path
) -> None:
    rows(0, 12)
    with scope.agency_scope(pipeline.agency_id):
        _row, token = machines.add_machine(pipeline.agency, "box", ("gpu",), False, actor="owner", now=now())
    box, log = tmp_path / "box", tmp_path / "box.log"
    with program(live_server.url, token, box, log) as first:
        until("the machine is known", lambda: b"queues" in log.read_bytes(), 120, log)
        run = start(pipeline)
        until("it has a checkpoint", (box / "scratch" / "work" / checkpoint.FILE).is_file, 300, log)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    job = Job.objects.get(run=run, kind="train")
    assert job.status == "running"
    Job.objects.filter(pk=job.pk).update(due_at=now())  # Its lease is over.

    with program(live_server.url, token, box, log):
        until("its result is here", lambda: Job.objects.get(pk=job.pk).status == "succeeded", 300, log)

    goes_on(run, tmp_path)
    assert not (box / "aside").exists() and not any((box / "scratch").iterdir())


def broken_off(folder: Path, job: int) -> Aside:
    aside = Aside(folder / "scratch", folder / "aside")
    (folder / "scratch" / "work").mkdir(parents=True)
    aside.begin(job)
    (folder / "scratch" / "work" / checkpoint.FILE).write_bytes(b"half a training")
    aside.keep()
    return aside


def test_another_job_never_finds_it_and_wipes_it(tmp_path: Path) -> None:
    aside = broken_off(tmp_path, 7)
    assert (tmp_path / "aside" / "7" / checkpoint.FILE).is_file()

    aside.begin(8)

    assert not (tmp_path / "aside").exists()
    assert not (tmp_path / "scratch" / "work" / checkpoint.FILE).exists()


def test_the_same_job_finds_it_once(tmp_path: Path) -> None:
    broken_off(tmp_path, 7).begin(7)

    assert (tmp_path / "scratch" / "work" / checkpoint.FILE).read_bytes() == b"half a training"
    assert not (tmp_path / "aside").exists()


def test_after_an_hour_it_is_nobodys(tmp_path: Path) -> None:
    aside = broken_off(tmp_path, 7)
    aside.forget_old()
    kept = tmp_path / "aside" / "7" / checkpoint.FILE
    assert kept.is_file()

    os.utime(kept, (kept.stat().st_atime, kept.stat().st_mtime - KEPT_S - 1))
    aside.forget_old()

    assert not kept.exists()
