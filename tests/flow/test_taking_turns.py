"""One version at a time, on the embedded host with real models: for want of memory, and as adapters over one base.

Played to the end: held or chosen, placed, paired, promoted, and taken back at the price that was told before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils.timezone import now

from pipelines import actions, plan
from pipelines.artifacts import scratch_of, store_of
from pipelines.engine.jobs import Work, work_on
from pipelines.fleet import look
from pipelines.heavy import bring, replay, restore
from pipelines.hosts import Host as HostAdapter
from pipelines.hosts import open_host
from pipelines.models import Exchange, Job, ModelVersion, Notice, Placement, ReplayPair, Rollback, Rollout, Route, Run
from pipelines.reports.runs import run_page
from pipelines.reports.versions import way_back
from tenants import actions as ground
from tenants.models import Host, Pipeline
from tests.flow import fake_jobs
from tests.flow.test_line import later, start
from tests.flow.test_rollout import ask
from tests.unit.ollama_host.host_process import running_host
from tests.unit.ollama_host.tiny_gguf import write_lora, write_model

PROMPTS = 120


def build(work: Work) -> dict[str, Any]:
    """A model of its own for each run, or one base with a LoRA of its own; all of them load and answer."""
    run = work.job.run
    store, folder = store_of(run.client_id), scratch_of(work.job.pk)
    model = write_model(folder / "model.gguf", seed=1)
    made = {"digest": store.put_file(model), "size_bytes": model.stat().st_size, "template_digest": "", "answers": []}
    if run.revision.settings.recipe.delivery == "adapter":
        lora = write_lora(folder / "lora.gguf", seed=100 + run.number)
        made |= {"lora_digest": store.put_file(lora)}
        made["size_bytes"] += lora.stat().st_size
    else:
        made["digest"] = store.put_file(write_model(folder / "own.gguf", seed=run.number))
    return made


@pytest.fixture(params=["B"])
def served(
    request: pytest.FixtureRequest, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HostAdapter]:
    """The pipeline's host is the embedded one; the jobs that ask it are the real ones; bodies are kept."""
    monkeypatch.setattr(restore, "WATCH_S", 0.0)
    asking = {"push": fake_jobs.ON_HOSTS["push"], "alias": restore.point_aliases, "restore": restore.work}
    for kind, handler in {"build": build, "replay": replay.work, "bring": bring.work, **asking}.items():
        monkeypatch.setitem(plan.JOBS, kind, handler)
    change(pipeline, bodies={"keep": True}, criteria={"output": {"kind": "text"}, "context_tokens": 128})
    with running_host(tmp_path / "host", request.param) as url:
        Host.objects.filter(client_id=pipeline.client_id).update(kind="ollama", url=url)
        host = open_host("ollama", url, allow_private=True)
        yield host
        host.close()


def change(pipeline: Pipeline, **parts: dict[str, Any]) -> None:
    body = pipeline.settings.model_dump(mode="json")
    for name, values in parts.items():
        body[name] = body[name] | values
    ground.change_settings(pipeline, body, "tests", now(), "for the test")
    pipeline.refresh_from_db()


def seen(pipeline: Pipeline) -> Host:
    """The host's row after a look at it, as the ticker takes one."""
    row = Host.objects.get(client_id=pipeline.client_id)
    look.keep(row, look.ask(row), now())
    return Host.objects.get(pk=row.pk)


def first(pipeline: Pipeline, add_rows: Callable[..., None]) -> ModelVersion:
    add_rows(0, 30)
    run = start(pipeline)
    actions.approve(run, actor="owner", reason="looks right", now=now())
    return ended(run).model_version


def ended(run: Run) -> Run:
    """As far as it goes by itself."""
    run = Run.objects.get(pk=run.pk)
    for _ in range(12):
        if not run.is_live or run.status == "held":
            break
        run = later(run, 2 * 86_400)
        for job in Job.objects.filter(status="queued"):
            work_on(job.pk, plan.JOBS, lambda due_at=job.due_at: due_at)
    return Run.objects.get(pk=run.pk)


def loaded(host: HostAdapter, pipeline: Pipeline) -> list[str]:
    """Labels of the versions in the host's memory."""
    digests = set(host.resident())
    rows = Placement.objects.filter(version__pipeline=pipeline, status="placed").select_related("version")
    return [row.version.label for row in rows if row.facts.get("manifest_digest") in digests]


def test_adapters_over_one_base_take_turns_and_a_rollback_costs_a_load(
    pipeline: Pipeline, add_rows: Callable[..., None], served: HostAdapter
) -> None:
    change(pipeline, recipe={"delivery": "adapter"})
    v1 = first(pipeline, add_rows)
    seen(pipeline)
    ask(pipeline, PROMPTS)
    add_rows(1000, 30)

    run = ended(start(pipeline))
    v2 = run.model_version

    assert v2.gguf_digest == v1.gguf_digest and v2.lora_digest not in ("", v1.lora_digest)
    sent = Placement.objects.get(version=v2).facts["bytes_sent"]
    assert sent == store_of(v2.client_id).path(v2.lora_digest).stat().st_size, "the base lay there already"
    rollout = Rollout.objects.get(run=run)
    assert rollout.frozen["one_at_a_time"] is True
    pairs = ReplayPair.objects.filter(rollout=rollout)
    assert pairs.count() == PROMPTS and not any(row.candidate["is_error"] for row in pairs)
    assert not Exchange.objects.filter(version=v2).exists(), "no user met it before the pairs had decided"
    if run.status == "held":
        assert "one version at a time, so nothing more can be shown" in run.reason
        actions.approve(run, actor="owner", reason="the pairs are enough", now=now())
        run = ended(run)
    assert run.status == "succeeded", run.reason
    assert loaded(served, pipeline) == ["v2"]

    goes_back_at_its_price(pipeline, served)


def goes_back_at_its_price(pipeline: Pipeline, served: HostAdapter) -> None:
    """The page tells seconds, the rollback loads before it moves anything, and its log has the measured time."""
    told = way_back(pipeline, ModelVersion.objects.get(number=1))
    assert not told.is_warm and told.cost_s > 1
    began = time.monotonic()
    made = actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    made = Rollback.objects.get(pk=made.pk)
    assert Route.objects.get(pipeline=pipeline).production.label == "v1" == made.target.label
    assert made.hosts == {"shop": "ok"} and loaded(served, pipeline) == ["v1"]
    assert made.seconds is not None and made.seconds <= time.monotonic() - began + 1
    assert way_back(pipeline, ModelVersion.objects.get(number=2)).basis in ("measured", "guessed", "flip")


def test_a_host_that_is_short_of_memory_plays_one_at_a_time_to_the_end(
    pipeline: Pipeline, add_rows: Callable[..., None], served: HostAdapter
) -> None:
    first(pipeline, add_rows)
    row = seen(pipeline)
    (one,) = row.facts["loaded"]
    row.memory_bytes = int(1.5 * one["size_bytes"])
    row.save()
    ask(pipeline, PROMPTS)
    add_rows(1000, 30)

    run = ended(start(pipeline))
    assert run.status == "held" and "one has to leave for the other" in run.reason
    room = run_page(run, now()).room
    assert room is not None and room.rollback_s > 1, "the price stands there before anything begins"
    assert not Placement.objects.filter(version=run.model_version).exists()

    actions.approve(run, actor="owner", reason="at night nobody minds", now=now())
    run = ended(run)
    assert ReplayPair.objects.filter(rollout__run=run).count() == PROMPTS
    assert len(loaded(served, pipeline)) == 1
    if run.status == "held":
        assert loaded(served, pipeline) == ["v1"], "production is back while a person decides"
        actions.approve(run, actor="owner", reason="the pairs are enough", now=now())
        run = ended(run)
    assert run.status == "succeeded", run.reason
    assert loaded(served, pipeline) == ["v2"]
    assert Notice.objects.filter(run=run, kind="promoted").count() == 1

    goes_back_at_its_price(pipeline, served)


def test_without_kept_prompts_a_person_decides_and_not_the_clock(
    pipeline: Pipeline, add_rows: Callable[..., None], served: HostAdapter
) -> None:
    change(pipeline, recipe={"delivery": "adapter"}, bodies={"keep": False})
    first(pipeline, add_rows)
    add_rows(1000, 30)

    run = ended(start(pipeline))

    assert run.status == "held" and "no replay was possible" in run.reason
    assert Route.objects.get(pipeline=pipeline).production.label == "v1"
    assert loaded(served, pipeline) == ["v1"]


def test_a_host_that_takes_no_adapters_ends_the_run_before_a_byte_is_sent(
    pipeline: Pipeline, add_rows: Callable[..., None], served: HostAdapter, tmp_path: Path
) -> None:
    change(pipeline, recipe={"delivery": "adapter"})
    with running_host(tmp_path / "newer", "C") as url:
        Host.objects.filter(client_id=pipeline.client_id).update(url=url)
        add_rows(0, 30)
        run = start(pipeline)
        actions.approve(run, actor="owner", reason="looks right", now=now())
        run = ended(run)
        newer = open_host("ollama", url, allow_private=True)
        assert not newer.has_blob(f"sha256:{run.model_version.gguf_digest}")
        newer.close()
    assert run.status == "failed" and "takes no LoRA adapters any more" in run.reason
