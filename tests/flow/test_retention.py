"""What is kept for some time only."""

from __future__ import annotations

import os
import socket
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.signals import task_prerun

from agency import celery
from agency.health import sweeping
from agency.health.beside import Beside
from pipelines.artifacts import scratch_of
from pipelines.domain.transitions import JobStatus
from pipelines.engine.jobs import ensure_job
from pipelines.models import Job
from pipelines.retention import sweep_scratch
from tenants.models import Client
from tests import factories
from tests.conftest import Clock


def test_scratch_of_a_job_that_failed_goes_after_a_day_and_that_of_a_live_one_stays(
    in_acorn: Client, clock: Clock
) -> None:
    run = factories.make_run(factories.make_pipeline(in_acorn), at="finetune")
    failed, live = (ensure_job(run, kind, "cpu", {}, clock.now) for kind in ("train", "build"))
    Job.objects.filter(pk=failed.pk).update(status=JobStatus.FAILED, due_at=None, finished_at=clock.now)
    folders = [scratch_of(job.pk) for job in (failed, live)]

    early = sweep_scratch(clock.advance(hours=23))
    late = sweep_scratch(clock.advance(hours=2))

    assert (early, late) == (0, 1)
    assert [folder.exists() for folder in folders] == [False, True]


def test_scratch_of_a_client_that_was_erased_from_another_machine_goes(acorn: Client, clock: Clock) -> None:
    folder = scratch_of(7)

    assert sweep_scratch(clock.now) == 1 and not folder.exists()


def test_what_a_killed_reader_of_a_table_left_goes_after_a_day(
    in_acorn: Client, clock: Clock, settings: Any, tmp_path: Path
) -> None:
    settings.SCRATCH = tmp_path
    old, fresh = (tmp_path / name for name in ("table-old", "table-fresh"))
    for folder, age_s in ((old, 90_000), (fresh, 80_000)):
        folder.mkdir()
        (folder / "log").write_text("killed")
        os.utime(folder, (clock.now.timestamp() - age_s,) * 2)

    assert sweep_scratch(clock.now) == 1
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_machine_is_swept_once_an_hour_however_many_processes_it_has(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    swept: list[str] = []
    settings.VAR = tmp_path
    monkeypatch.setattr(sweeping, "now", lambda: clock.now)
    monkeypatch.setattr(sweeping, "HERE", (lambda _now: len(swept.append(socket.gethostname()) or ""),))

    for minutes in (0, 1, 48, 12):
        clock.advance(minutes=minutes)
        sweeping.sweep_here()
        sweeping.sweep_here()
    monkeypatch.setattr(socket, "gethostname", lambda: "the back")
    sweeping.sweep_here()

    here = swept[0]
    assert swept == [here, here, "the back"]


@pytest.mark.parametrize("is_ours", [True, False])
def test_uploads_of_killed_processes_go_from_a_folder_that_is_ours(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, is_ours: bool
) -> None:
    settings.VAR = tmp_path if is_ours else tmp_path / "elsewhere"
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for name, age in (("tmpa.upload.gguf", 86_400 + 60), ("tmpb.upload.gguf", 60), ("table-x", 86_400 + 60)):
        (folder / name).write_text("a model")
        os.utime(folder / name, (clock.now.timestamp() - age,) * 2)

    assert sweeping.sweep_uploads(clock.now) == is_ours
    assert (folder / "tmpa.upload.gguf").exists() is not is_ours
    assert (folder / "tmpb.upload.gguf").exists() and (folder / "table-x").exists()


def test_one_sweep_that_fails_is_in_the_way_of_no_other(
    db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def fails(_now: Any) -> int:
        raise OSError("the bucket is away")

    swept: list[Any] = []
    settings.VAR = tmp_path
    monkeypatch.setattr(sweeping, "HERE", (fails, lambda at: len(swept.append(at) or "")))

    sweeping.sweep_here()

    assert len(swept) == 1


def test_workers_begin_the_sweep_of_their_machine_beside_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(sweeping, "BESIDE", Beside("sweeps", timedelta(hours=1), lambda: begun.append("begun")))

    for _ in range(3):
        task_prerun.send(sender=celery.app, task_id="1", task=None)
    sweeping.BESIDE.thread.join(10)  # type: ignore[union-attr]

    assert begun == ["begun"]
