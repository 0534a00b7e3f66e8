"""A machine claims, fetches, hands in; late, lost, lying and foreign ones change nothing."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import F
from django.utils.timezone import now

from pipelines import actions
from pipelines.artifacts import parts_of, scratch_of, store_of
from pipelines.artifacts.store import StoreFull
from pipelines.domain.transitions import JobStatus
from pipelines.engine import dispatch, jobs
from pipelines.heavy import measure, train
from pipelines.machines import offers
from pipelines.models import Job, JobPart, ModelVersion, Run
from pipelines.plan import ERRANDS, JOBS
from pipelines.retention import forget_handed
from pipelines.work.errand import Errand
from tenants import machines, scope
from tenants.models import AuditEvent, Pipeline
from tests import factories
from tests.flow.machines.conftest import FITTING, Box, box_of, dataset_lines, tar_of
from tests.flow.test_line import start
from tests.unit.bundles import packing

AddRows = Callable[..., None]


def job_of(run: Run, kind: str = "train") -> Job:
    return Job.objects.get(run=run, kind=kind)


def lose(claim: dict[str, Any]) -> None:
    """Its lease is over: nobody heard from its machine."""
    Job.objects.filter(pk=claim["job"]).update(due_at=now() - timedelta(seconds=1))


def order(box: Box, name: str) -> None:
    with scope.agency_scope(box.row.agency_id):
        machines.change_machine(box.row, name, actor="owner", reason="asked by a test", now=now())


def test_a_machine_trains_and_the_run_goes_on_with_what_it_handed_in(
    training: Pipeline, box: Box, add_rows: AddRows, adapter: bytes
) -> None:
    add_rows(0, 30)
    run = start(training)
    assert (run.status, job_of(run).status) == ("waiting", "queued")
    claim = box.claim()
    assert claim is not None
    assert (claim["kind"], claim["attempt"], claim["outputs"]) == ("train", 1, {"adapter": "folder"})
    files = {(one["name"], one["path"]): one for one in claim["inputs"]}
    dataset = files["dataset", ""]
    assert len(dataset_lines(box.whole(dataset["url"], dataset["size_bytes"]))) == 30
    assert ("base", "config.json") in files
    assert box.beat(claim, progress=0.5, note="step 2 of 3", numbers={"loss": 0.5}).json() == {"go_on": True}
    assert job_of(run).progress["note"] == "step 2 of 3"
    assert box.put(claim, "adapter", adapter).json() == {"size_bytes": len(adapter)}
    assert box.done(claim, "adapter", adapter).status_code == 200

    job, run = job_of(run), Run.objects.get(pk=run.pk)
    assert (job.status, job.handed["machine"], run.status, run.stage) == ("succeeded", "box", "held", "compare")
    kept = store_of(run.client_id).unpack_folder(job.result["adapter_digest"], scratch_of(job.pk) / "look")
    assert (kept / "adapter_model.safetensors").read_bytes() == FITTING["adapter_model.safetensors"]
    assert ModelVersion.objects.get(run=run).adapter_digest == job.result["adapter_digest"]
    assert not JobPart.objects.exists()
    assert not parts_of(job.client_id, job.pk).root.exists()


def test_a_machine_that_comes_late_changes_nothing(
    training: Pipeline, box: Box, add_rows: AddRows, adapter: bytes
) -> None:
    add_rows(0, 30)
    run = start(training)
    first = box.claim()
    assert first is not None
    box.put(first, "adapter", adapter[:1000])
    lose(first)
    other = box_of(training.agency, "other")
    second = other.claim()
    assert second is not None
    assert (second["job"], second["attempt"]) == (first["job"], 2)
    late = [box.beat(first), box.put(first, "adapter", adapter[1000:], 1000), box.done(first, "adapter", adapter)]
    late += [box.post(f"jobs/{first['job']}/failed", version=first["version"], error="late")]
    assert [answer.status_code for answer in late] == [410] * 4
    assert box.fetch(first["inputs"][0]["url"]).status_code == 403
    assert job_of(run).status == "running"
    other.put(second, "adapter", adapter)
    assert other.done(second, "adapter", adapter).status_code == 200
    assert other.done(second, "adapter", adapter).status_code == 410
    assert (job_of(run).status, ModelVersion.objects.filter(run=run).count()) == ("succeeded", 1)


def test_a_claim_whose_answer_was_lost_is_found_again_and_costs_no_attempt(
    training: Pipeline, box: Box, add_rows: AddRows
) -> None:
    add_rows(0, 30)
    run = start(training)
    first, again = box.claim(), box.claim()
    box.session = "another start of the program"

    assert first is not None and again is not None
    assert (again["job"], again["version"]) == (first["job"], first["version"])
    assert (box.claim(), job_of(run).attempts) == (None, 1)


def test_a_job_that_a_worker_here_has_taken_up_is_no_machines(training: Pipeline, box: Box, add_rows: AddRows) -> None:
    add_rows(0, 30)
    run = start(training)
    claim = box.claim()
    assert claim is not None
    lose(claim)
    taken = jobs.claim(claim["job"], now())
    assert taken is not None

    assert box.claim() is None
    assert box.beat(claim | {"version": taken.version}).status_code == 410
    assert job_of(run).attempts == 2


def test_another_agencys_machine_sees_nothing_of_it(training: Pipeline, box: Box, add_rows: AddRows) -> None:
    add_rows(0, 30)
    run = start(training)
    stranger = box_of(factories.make_client().agency, "stranger")
    assert stranger.claim() is None
    claim = box.claim()
    assert claim is not None

    asked = [stranger.beat(claim), stranger.put(claim, "adapter", b"x"), stranger.done(claim, "adapter", b"x")]
    assert [answer.status_code for answer in asked] == [410] * 3
    assert job_of(run).attempts == 1


def evaluation(training: Pipeline) -> Run:
    """Its evaluation is due, and its version's file is in the store."""
    run = factories.make_run(training, at="evaluate")
    Job.of(run, run=run, stage="evaluate", kind="evaluate", queue="cpu", created_at=now(), due_at=now()).save()
    version = ModelVersion.objects.get(run=run)
    version.gguf_digest = store_of(run.client_id).put_bytes(b"a file that would ship")
    version.save()
    return run


def test_an_evaluation_is_offered_to_a_trusted_machine_only(training: Pipeline) -> None:
    evaluation(training)
    anybody = box_of(training.agency, "anybody", ("cpu",))
    trusted = box_of(training.agency, "trusted", ("cpu",), is_trusted=True)

    assert anybody.claim() is None
    claim = trusted.claim()
    assert claim is not None
    assert {one["name"] for one in claim["inputs"]} >= {"candidate"}


def test_a_machine_that_is_not_trusted_any_more_measures_nothing(training: Pipeline) -> None:
    run = evaluation(training)
    box = box_of(training.agency, "box", ("cpu",), is_trusted=True)
    claim = box.claim()
    assert claim is not None and box.beat(claim).status_code == 200
    order(box, "distrust")

    assert box.beat(claim).status_code == 410
    assert box.post(f"jobs/{claim['job']}/done", version=claim["version"], said={}, outputs={}).status_code == 410
    assert (box.claim(), job_of(run, "evaluate").handed) == (None, {})


def test_what_it_measured_before_is_not_looked_at_either(training: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    run = evaluation(training)
    monkeypatch.setitem(JOBS, "evaluate", measure.work)
    box = box_of(training.agency, "box", ("cpu",), is_trusted=True)
    claim = box.claim()
    assert claim is not None
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "work_job", lambda *_: None)
        said = {step["kind"]: {} for step in claim["steps"]}
        assert box.post(f"jobs/{claim['job']}/done", version=claim["version"], said=said, outputs={}).status_code == 200
    order(box, "distrust")
    jobs.work_on(claim["job"], JOBS, now)

    job = job_of(run, "evaluate")
    assert (job.status, job.handed) == ("queued", {})
    assert "Machine box is not trusted any more" in job.error
    Job.objects.filter(pk=job.pk).update(due_at=now())
    assert box.claim() is None
    again = box_of(training.agency, "another", ("cpu",), is_trusted=True).claim()
    assert again is not None and again["job"] == claim["job"]


def test_a_job_that_fits_is_found_behind_those_that_do_not(
    training: Pipeline, box: Box, add_rows: AddRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that this one lacks the memory for, and those that want a trusted one: they were due long before."""
    monkeypatch.setattr(offers, "LOOKED_AT", 1)
    add_rows(0, 30)
    run = start(training)
    other = factories.make_run(factories.make_pipeline(factories.make_client(training.agency)), at="finetune")
    long_ago = {"queue": "gpu", "created_at": now(), "due_at": now() - timedelta(days=1)}
    with factories.inside(other.pipeline):
        checked = {"result": {"weights_bytes": 2**50}, "queue": "cpu", "created_at": now(), "status": "succeeded"}
        Job.objects.filter(run=other).delete()
        Job.of(other, run=other, stage="finetune", kind="preflight", **checked).save()
        Job.of(other, run=other, stage="finetune", kind="train", **long_ago).save()
        Job.of(other, run=other, stage="evaluate", kind="evaluate", **long_ago).save()

    claim = box.claim()

    assert claim is not None and claim["job"] == job_of(run).pk


def test_an_errand_that_cannot_be_written_is_the_error_of_its_job(
    training: Pipeline, box: Box, add_rows: AddRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(work: jobs.Work) -> Errand:
        raise StoreFull("The disk has no room for 3 MB.")

    monkeypatch.setitem(ERRANDS, "train", full)
    add_rows(0, 30)
    run = start(training)

    assert box.claim() is None
    job = job_of(run)
    assert (job.status, job.error, job.is_permanent) == ("failed", "The disk has no room for 3 MB.", True)


def test_what_a_machine_lacks_keeps_a_job_from_it_and_it_is_done_here(pipeline: Pipeline, add_rows: AddRows) -> None:
    box = box_of(pipeline.agency)
    box.hello(memory_bytes=2**20)
    add_rows(0, 30)
    run = start(pipeline)

    assert (job_of(run).status, job_of(run).machine, box.claim()) == ("succeeded", None, None)


def test_pieces_are_taken_in_order_whole_and_once(training: Pipeline, box: Box, add_rows: AddRows) -> None:
    add_rows(0, 30)
    start(training)
    claim = box.claim()
    assert claim is not None
    body = b"0123456789"
    assert box.put(claim, "adapter", body).json() == {"size_bytes": 10}
    assert box.put(claim, "adapter", body).json() == {"size_bytes": 10}
    refused = {
        "Go on at byte 10": box.put(claim, "adapter", body, 20),
        "did not arrive as it was sent": box.put(claim, "adapter", body, 10, "0" * 64),
        "was not asked for": box.put(claim, "stranger", body),
        "A piece has 1 to": box.put(claim, "adapter", b"", 10),
        "Of adapter 10 of 11 bytes are here": box.done(claim, "adapter", b"01234567890"),
        "Say what every step answered": box.done(claim, "adapter", body, {"train": {}, "more": {}}),
    }
    for sentence, answer in refused.items():
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "refused")
        assert sentence in answer.json()["error"]["message"]
    assert Job.objects.get(pk=claim["job"]).status == "running"


def with_code() -> bytes:
    return tar_of(packing.adapter() | {"modeling.py": b"print()"})


def with_link() -> bytes:
    def make_link(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0

    return tar_of({"adapter_config.json": b""}, make_link)


HOSTILE = {
    "modeling.py is code": with_code,
    "is a link, a device or the like": with_link,
    "leads out of the bundle": lambda: tar_of({"../up.json": b"{}"}),
    "absolute name": lambda: tar_of({"/up.json": b"{}"}),
    "holds no model": lambda: tar_of({"notes.txt": b"{}"}),
    "fits no weight of this base": lambda: tar_of(packing.adapter()),
    "machine box handed in was refused": lambda: b"no tar at all" * 100,
}


@pytest.mark.parametrize("sentence", HOSTILE)
def test_what_is_no_data_is_refused_and_the_run_says_who_sent_it(
    sentence: str, training: Pipeline, box: Box, add_rows: AddRows
) -> None:
    add_rows(0, 30)
    run = start(training)
    claim, body = box.claim(), HOSTILE[sentence]()
    assert claim is not None
    box.put(claim, "adapter", body)
    assert box.done(claim, "adapter", body).status_code == 200

    run, job = Run.objects.get(pk=run.pk), job_of(run)
    assert (run.status, job.status) == ("failed", "failed")
    assert sentence in run.reason


def test_a_file_that_is_not_what_it_announced_is_refused(
    training: Pipeline, box: Box, add_rows: AddRows, adapter: bytes
) -> None:
    add_rows(0, 30)
    run = start(training)
    claim = sent_in(box, adapter)
    assert box.done(claim, "adapter", adapter[:-1] + b"x").status_code == 200

    assert "not the file that it announced" in job_of(run).error
    assert "machine box" in job_of(run).error


def handed_in(box: Box, adapter: bytes, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The claim of a training that a machine has done, and that nobody here has taken up yet."""
    claim = sent_in(box, adapter)
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "work_job", lambda *_: None)
        box.done(claim, "adapter", adapter)
    return claim


def sent_in(box: Box, adapter: bytes) -> dict[str, Any]:
    """The claim of a training whose adapter is here, and not said to be whole."""
    claim = box.claim()
    assert claim is not None
    box.put(claim, "adapter", adapter)
    return claim


def test_what_was_handed_in_stays_until_its_result_is_committed(
    training: Pipeline, box: Box, add_rows: AddRows, adapter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows(0, 30)
    run = start(training)
    claim = sent_in(box, adapter)
    settle = jobs.settle

    def gone(work: jobs.Work, to: JobStatus, *rest: Any, **changes: Any) -> bool:
        if to == JobStatus.SUCCEEDED and work.job.handed:
            raise OperationalError("server closed the connection unexpectedly")
        return settle(work, to, *rest, **changes)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "settle", gone)
        patch.setattr(dispatch, "work_job", lambda *_: None)
        box.done(claim, "adapter", adapter)
        with pytest.raises(OperationalError):
            jobs.work_on(claim["job"], JOBS, now)
    assert JobPart.objects.exists() and job_of(run).status == "running"
    later = now() + timedelta(hours=1)
    jobs.work_on(claim["job"], JOBS, lambda: later)

    job = job_of(run)
    assert (job.status, job.error) == ("succeeded", "")
    assert not JobPart.objects.exists() and not any(scratch_of(job.pk).iterdir())


def test_whoever_is_too_late_to_settle_removes_nothing(
    training: Pipeline, box: Box, add_rows: AddRows, adapter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows(0, 30)
    run = start(training)
    claim = handed_in(box, adapter, monkeypatch)
    keep = train.keep

    def overtaken(*told: Any) -> dict[str, Any]:
        result = keep(*told)
        Job.objects.filter(pk=claim["job"]).update(version=F("version") + 1)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(train, "keep", overtaken)
        jobs.work_on(claim["job"], JOBS, now)
    assert JobPart.objects.exists() and job_of(run).status == "running"


@pytest.mark.parametrize("lost", ["rows", "files"])
def test_what_is_not_here_any_more_is_made_again(
    training: Pipeline, box: Box, add_rows: AddRows, adapter: bytes, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """A backup has the rows and not the files."""
    add_rows(0, 30)
    run = start(training)
    claim = handed_in(box, adapter, monkeypatch)
    if lost == "rows":
        JobPart.objects.all().delete()
    else:
        parts_of(run.client_id, claim["job"]).clear()
    jobs.work_on(claim["job"], JOBS, now)

    job = job_of(run)
    assert (job.status, job.is_permanent, job.handed) == ("queued", False, {})
    assert "adapter was handed in whole and is not here any more" in job.error
    assert not JobPart.objects.exists()
    lose(claim)
    again = sent_in(box, adapter)
    assert box.done(again, "adapter", adapter).status_code == 200
    assert (again["job"], job_of(run).status) == (claim["job"], "succeeded")


def test_a_cancelled_job_is_nobodys(training: Pipeline, box: Box, add_rows: AddRows) -> None:
    add_rows(0, 30)
    run = start(training)
    claim = box.claim()
    assert claim is not None
    actions.cancel(run, actor="owner", reason="enough", now=now())

    assert box.beat(claim).status_code == 410
    assert box.claim() is None


def test_a_failure_is_tried_again_and_keeps_the_last_lines(training: Pipeline, box: Box, add_rows: AddRows) -> None:
    add_rows(0, 30)
    run = start(training)
    claim = box.claim()
    assert claim is not None
    said = {"version": claim["version"], "error": "Out of memory.", "log_tail": "line 1\nline 2"}
    assert box.post(f"jobs/{claim['job']}/failed", **said).status_code == 200

    job = job_of(run)
    assert (job.status, job.attempts, job.error, job.log_tail) == ("queued", 1, "Out of memory.", "line 1\nline 2")


def test_paused_it_gets_nothing_and_revoked_it_is_unknown(training: Pipeline, box: Box, add_rows: AddRows) -> None:
    other = box_of(training.agency, "other")
    add_rows(0, 30)
    start(training)
    order(box, "pause")
    assert box.claim() is None
    order(box, "resume")
    order(box, "revoke")
    answer = box.post("claim", session=box.session)
    assert answer.status_code == 401
    claim = other.claim()
    assert claim is not None
    order(other, "revoke")
    assert other.fetch(claim["inputs"][0]["url"]).status_code == 403
    with scope.agency_scope(training.agency_id):
        verbs = AuditEvent.objects.filter(verb__startswith="machine.").values_list("verb", flat=True)
        assert set(verbs) == {"machine.add", "machine.pause", "machine.resume", "machine.revoke"}


def test_an_address_opens_ranges_of_one_file_and_no_more(training: Pipeline, box: Box, add_rows: AddRows) -> None:
    add_rows(0, 30)
    start(training)
    claim = box.claim()
    assert claim is not None
    url, size = next((one["url"], one["size_bytes"]) for one in claim["inputs"] if one["name"] == "dataset")
    half = box.fetch(url, size // 2)
    assert half.status_code == 206
    assert half["Content-Range"] == f"bytes {size // 2}-{size - 1}/{size}"
    assert box.fetch(url, size).status_code == 416
    assert box.browser.get(url).status_code == 416
    assert box.fetch(url[:-8] + "AAAAAAA/"[:8]).status_code in (403, 404)


def test_without_a_gpu_anywhere_a_training_that_needs_one_waits(
    training: Pipeline, box: Box, add_rows: AddRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenants.actions import change_settings

    monkeypatch.setattr(offers, "has_gpu_here", lambda: False)
    body = training.revision.body | {"recipe": training.revision.body["recipe"] | {"needs_gpu": True}}
    change_settings(training, body, "owner", now())
    box.hello(gpus=[])
    add_rows(0, 30)
    run = start(training)
    assert (job_of(run).status, box.claim()) == ("queued", None)
    box.hello()
    assert box.claim() is not None


def test_what_was_handed_in_for_a_job_that_ended_otherwise_is_swept(
    training: Pipeline, box: Box, add_rows: AddRows
) -> None:
    add_rows(0, 30)
    run = start(training)
    claim = box.claim()
    assert claim is not None
    box.put(claim, "adapter", b"half of something")
    corner = parts_of(run.client_id, claim["job"]).root
    actions.cancel(run, actor="owner", reason="enough", now=now())
    assert (forget_handed(now() + timedelta(hours=23)), corner.exists()) == (0, True)

    assert (forget_handed(now() + timedelta(hours=25)), corner.exists()) == (1, False)
    assert not JobPart.objects.exists()
