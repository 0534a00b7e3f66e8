"""The packed retune-worker and a real server: the link is cut at random, machines are killed by kill -9."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.utils.timezone import now

from agency.machines.programs import WORKER, pack
from pipelines.artifacts import parts_of, store_of
from pipelines.machines.claims import MACHINE_ATTEMPTS
from pipelines.models import Job, JobPart, Run
from tenants import machines, scope
from tenants.models import Machine, Pipeline
from tests import factories
from tests.engines.processes import ROOT, Workers, embedded, until
from tests.engines.story import Story
from tests.faults.cutting_proxy import CuttingProxy
from tests.faults.test_real_workers import effects

# Long enough for the beats of a machine that is busy with other things.
LEASE_S = "15"


class Boxes:
    """Machines of one agency, each a process of the packed file in a folder of its own."""

    def __init__(self, pipeline: Pipeline, var: Path, port: int) -> None:
        self.pipeline, self.var, self.port = pipeline, var, port
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        pack(var / "retune-worker.pyz", WORKER)

    def start(self, name: str) -> None:
        agency = self.pipeline.agency
        with scope.agency_scope(agency.pk):
            _row, token = machines.add_machine(agency, name, ("gpu",), False, actor="owner", now=now())
        env = {key: os.environ[key] for key in ("PATH", "LANG", "HOME") if key in os.environ}
        env |= {"RETUNE_URL": f"http://127.0.0.1:{self.port}", "RETUNE_TOKEN": token, "RETUNE_POLL_S": "0.5"}
        env |= {"RETUNE_WORK_DIR": str(self.var / name), "RETUNE_PAUSE_S": "1"}
        command = [sys.executable, str(self.var / "retune-worker.pyz")]
        with (self.var / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                command, cwd=self.var, env=env, stdout=log, stderr=log, start_new_session=True
            )

    def is_known(self, name: str) -> bool:
        with scope.agency_scope(self.pipeline.agency_id):
            return bool(Machine.objects.get(name=name).abilities)

    def kill(self, name: str) -> None:
        child = self.running.pop(name)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()

    def replace(self, name: str, other: str) -> None:
        self.kill(name)
        self.start(other)

    def stop(self) -> None:
        for child in self.running.values():
            child.terminate()
        for name in list(self.running):
            self.running[name].wait(30)
            del self.running[name]


@contextmanager
def serving(workers: Workers, var: Path) -> Iterator[int]:
    """The web process of the same installation; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "agency.asgi:application", "--host", "127.0.0.1", "--port", str(port)]
    with (var / "web.log").open("wb") as log:
        web = subprocess.Popen(command, cwd=ROOT, env=os.environ | dict(workers.environment), stdout=log, stderr=log)
    try:
        until("the server listens", lambda: _listens(port), 120)
        yield port
    finally:
        web.terminate()
        web.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def boxes(transactional_db: None, tmp_path: Path) -> Iterator[tuple[Story, Boxes, CuttingProxy]]:
    with embedded(tmp_path, RETUNE_TEST_REAL="train", RETUNE_JOB_LEASE_S=LEASE_S) as workers:
        with serving(workers, tmp_path) as port:
            story = Story(tmp_path)
            with CuttingProxy(port, cut=0.3, most_bytes=200_000, seed=7).listening() as proxy:
                boxes = Boxes(story.pipeline, tmp_path, proxy.port)
                try:
                    yield story, boxes, proxy
                finally:
                    boxes.stop()


def test_a_run_goes_on_whichever_machine_is_killed_wherever_and_lands_once(
    boxes: tuple[Story, Boxes, CuttingProxy], tmp_path: Path
) -> None:
    story, started, proxy = boxes
    started.start("box-0")
    until("the machine says what it has", lambda: started.is_known("box-0"), 120, tmp_path / "box-0.log")
    with factories.inside(story.pipeline):
        proxy.refused = b"/machine/inputs/"
        run = story.start(0)
        until("it fetches", lambda: is_claimed(run, 1), 180, tmp_path / "box-0.log")
        started.replace("box-0", "box-1")
        proxy.refused = b""
        until("it trains", (tmp_path / "box-1" / "scratch" / "train.log").exists, 300, tmp_path / "box-1.log")
        proxy.refused = b"/done"
        started.replace("box-1", "box-2")
        until("its result is here", lambda: is_here(run, 3), 600, tmp_path / "box-2.log")
        started.replace("box-2", "box-3")
        proxy.refused = b""
        story.until(run, "held", timeout_s=600)
        job = Job.objects.get(run=run, kind="train")
        # Four of machines, and one of the worker that took in what the last of them made.
        assert (job.status, job.attempts) == ("succeeded", MACHINE_ATTEMPTS + 1)
        assert job.handed["machine"] == "box-3"
        assert store_of(run.client_id).has(job.result["adapter_digest"])
        assert (JobPart.objects.count(), parts_of(run.client_id, job.pk).root.exists()) == (0, False)
        assert effects(tmp_path) == {"build": 1}
    assert proxy.cuts > 0
    assert "is gone" not in (tmp_path / "box-3.log").read_text()
    started.stop()
    assert not any((tmp_path / "box-3" / "scratch").iterdir())


def is_claimed(run: Run, attempt: int) -> bool:
    return Job.objects.filter(run=run, kind="train", attempts=attempt, status="running", machine__gt=0).exists()


def is_here(run: Run, attempt: int) -> bool:
    """What the machine of this attempt made lies here whole, and it tries to say so."""
    job = Job.objects.get(run=run, kind="train")
    return job.attempts == attempt and JobPart.objects.filter(job=job, version=job.version).exists()
