"""A training at a service, as a run's job: it holds no worker, uses up no attempt, and may be recalled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils.timezone import now

from agency.leaving.erasing import carry_out
from pipelines import actions, plan
from pipelines.actions import ActionRefused
from pipelines.actions.clients.erasure import order_erasure
from pipelines.engine import dispatch, jobs
from pipelines.engine.jobs import JobFailed, JobGoesOn, Work
from pipelines.heavy import train
from pipelines.heavy.elsewhere import recall
from pipelines.heavy.elsewhere.seats import seat_of
from pipelines.heavy.train import spec_of
from pipelines.models import Job, Run
from pipelines.plan import JOBS
from pipelines.work.errand import Done, Errand
from tenants import scope, training
from tenants.actions import change_settings
from tenants.models import Pipeline, TrainingConsent, TrainingService
from tenants.training import NoSeat
from tests.flow import fake_jobs
from tests.flow.test_line import start

SEAT = {"name": "studio", "url": "http://127.0.0.1:9/v1", "model": "tiny-there", "base": "tiny"}


@pytest.fixture
def service(pipeline: Pipeline) -> TrainingService:
    """The agency's seat, chosen by the pipeline and allowed by its client."""
    with scope.agency_scope(pipeline.agency_id):
        made = training.add_service(pipeline.client.agency, SEAT, "sk-planted", "owner", now())
    training.allow_service(pipeline.client, made, "owner", now())
    body = pipeline.settings.model_dump(mode="json")
    body["recipe"] |= {"trainer": "remote:studio"}
    change_settings(pipeline, body, "owner", now(), "trained elsewhere")
    pipeline.refresh_from_db()
    return made


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How often the train job was asked; it is through at the third time."""
    asked: list[int] = []

    def train(work: Work) -> dict[str, Any]:
        asked.append(work.job.attempts)
        work.report(0.3, "tiny-there: running")
        if len(asked) < 3:
            raise JobGoesOn(30)
        return fake_jobs.train(work)

    monkeypatch.setitem(plan.JOBS, "train", train)
    yield asked


def train_job(run: Run) -> Job:
    return Job.objects.get(run=run, kind="train")


def look(run: Run, seconds: float = 60) -> Job:
    later = now() + timedelta(seconds=seconds)
    jobs.work_on(train_job(run).pk, JOBS, lambda: later)
    return train_job(run)


def test_a_training_elsewhere_holds_no_worker_and_uses_up_no_attempt(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, looks: list[int]
) -> None:
    add_rows(0, 30)
    run = start(pipeline)
    job = train_job(run)
    assert (run.status, run.stage, job.status, job.attempts) == ("waiting", "finetune", "queued", 0)
    assert job.progress["note"] == "tiny-there: running" and job.due_at is not None and job.due_at > now()
    assert not jobs.work_on(job.pk, JOBS, now), "it is not asked before its time"
    assert look(run).status == "queued"
    assert look(run, 120).status == "succeeded"
    assert looks == [1, 1, 1]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What each look at the training gives: an error to raise, or nothing where it is through; the last one stays."""
    told: list[Any] = [JobGoesOn(30)]

    def train(work: Work) -> dict[str, Any]:
        said = told.pop(0) if len(told) > 1 else told[0]
        if said is not None:
            raise said
        return fake_jobs.train(work)

    monkeypatch.setitem(plan.JOBS, "train", train)
    yield told


def test_hiccups_hours_apart_end_no_training(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, says: list[Any]
) -> None:
    add_rows(0, 30)
    run = start(pipeline)
    said = [JobFailed("a timeout"), JobGoesOn(30), JobFailed("a timeout"), JobGoesOn(30), JobFailed("again"), None]
    says[:] = said
    for n, _ in enumerate(said):
        assert train_job(run).status == "queued"
        look(run, 3600 * (n + 1))
    assert train_job(run).status == "succeeded"


def test_workers_that_are_lost_while_they_look_end_no_training(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, says: list[Any]
) -> None:
    add_rows(0, 30)
    run = start(pipeline)
    for n in range(4):
        assert jobs.claim(train_job(run).pk, now() + timedelta(hours=n + 1)) is not None
    assert look(run, 5 * 3600).attempts == 0


def test_what_a_look_at_a_training_fails_at_is_tried_once_more(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, says: list[Any]
) -> None:
    """Each try downloads the result again; workers may be lost more often than that."""
    add_rows(0, 30)
    run = start(pipeline)
    says[:] = [JobFailed("The result is not whole.")]
    assert look(run, 3600).status == "queued"
    job = look(run, 2 * 3600)
    assert (job.status, job.attempts, job.error) == ("failed", 2, "The result is not whole.")


def test_a_service_that_does_not_answer_is_asked_less_often_and_the_page_says_so(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, says: list[Any]
) -> None:
    add_rows(0, 30)
    run = start(pipeline)
    work, error = Work(train_job(run)), "The service does not answer: nobody takes the connection."
    silent = Done({"train": {"goes_on": {"after_s": 30, "note": error, "error": error}}}, Path("nowhere"))
    pauses = []
    for n in range(6):
        work = Work(train_job(run))
        with pytest.raises(JobGoesOn) as told:
            train.keep(work, Errand({}, (), {}), silent)
        says[:] = [told.value]
        job = look(run, 3600 * (n + 1))
        pauses.append(told.value.after_s)
        assert (job.status, job.error, job.attempts) == ("queued", error, 0)
        assert seat_of(job).site["is_there"]
    assert pauses == [60, 120, 240, 300, 300, 300]
    says[:] = [JobGoesOn(30)]
    assert (look(run, 3600 * 9).error, train_job(run).spec["unanswered"]) == ("", 0)
    assert not Job.objects.filter(run=run, kind="recall").exists()


def test_the_child_is_told_the_seat_and_its_key_is_in_no_spec(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, looks: list[int]
) -> None:
    add_rows(0, 30)
    job = train_job(start(pipeline))
    told = seat_of(job)
    assert (told.trainer, told.secret, told.network) == ("remote", {"key": "sk-planted"}, True)
    spec = spec_of(job, told)
    assert (spec["site"]["url"], spec["site"]["model"]) == ("http://127.0.0.1:9/v1", "tiny-there")
    assert "sk-planted" not in repr(spec) + repr(told) + repr(service.__dict__)


def test_a_run_that_is_cancelled_is_recalled_from_the_service(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, monkeypatch: pytest.MonkeyPatch,
    looks: list[int],
) -> None:  # fmt: skip
    recalled: list[int] = []
    monkeypatch.setitem(plan.JOBS, "recall", lambda work: recalled.append(work.job.run_id) or {})
    add_rows(0, 30)
    run = start(pipeline)
    actions.cancel(run, actor="owner", reason="never mind", now=now())
    assert train_job(run).status == "cancelled"
    assert recalled == [run.pk]
    assert Job.objects.get(run=run, kind="recall").status == "succeeded"


def fall_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nobody takes up what is queued."""
    monkeypatch.setattr(dispatch, "send", lambda *_: None)


@pytest.mark.parametrize("answers", [True, False])
def test_a_client_is_erased_once_its_rows_are_recalled_or_the_certificate_says_where_they_were_not(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, monkeypatch: pytest.MonkeyPatch,
    looks: list[int], answers: bool,
) -> None:  # fmt: skip
    def recall(work: Work) -> dict[str, Any]:
        if answers:
            return {}
        raise JobFailed("The service does not answer.", permanent=True)

    monkeypatch.setitem(plan.JOBS, "recall", recall)
    add_rows(0, 30)
    run, client = start(pipeline), pipeline.client
    fall_asleep(monkeypatch)
    later = now() + timedelta(minutes=5)  # Whoever looked at the training has heard that it is over.
    with scope.agency_scope(pipeline.agency_id):
        said = {"actor": "owner", "reason": "the contract ended", "now": now()}
        order = order_erasure(client, client.name, ends_runs=True, **said)
        with pytest.raises(ActionRefused, match="being removed at a training service"):
            carry_out(order, later)
    jobs.work_on(Job.objects.get(run=run, kind="recall").pk, JOBS, now)
    with scope.agency_scope(pipeline.agency_id):
        done = carry_out(order, later)

    told = [] if answers else [{"run": "support 1", "service": "remote:studio"}]
    assert (done.is_done, done.facts["not_recalled"]) == (True, told)
    assert ("training services" in done.facts["not_reached"]) is not answers


def test_nothing_is_recalled_that_was_trained_to_the_end(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService
) -> None:
    add_rows(0, 30)
    run = start(pipeline)
    actions.reject(run, actor="owner", reason="not good", now=now())
    assert not Job.objects.filter(run=run, kind="recall").exists()


def test_without_the_clients_consent_nothing_may_go_there(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, looks: list[int]
) -> None:
    add_rows(0, 30)
    job = train_job(start(pipeline))
    training.take_back(TrainingConsent.objects.get(), "owner", now())
    with pytest.raises(NoSeat, match="client does not allow") as refused:
        seat_of(job)
    assert refused.value.permanent
    with scope.agency_scope(pipeline.agency_id):
        training.withdraw_service(service, "owner", now())
        assert TrainingService.objects.get().sealed == ""
    with pytest.raises(NoSeat, match="no training service"):
        seat_of(job)


def test_rows_are_recalled_after_the_consent_was_taken_back_and_from_its_address_only(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, monkeypatch: pytest.MonkeyPatch,
    looks: list[int],
) -> None:  # fmt: skip
    asked: list[dict[str, Any]] = []

    def child(_work: Work, kind: str, spec: dict[str, Any], **how: Any) -> dict[str, Any]:
        asked.append({"kind": kind, "url": spec["site"]["url"], **how})
        return {"rows": True}

    monkeypatch.setattr(recall, "run_child", child)
    add_rows(0, 30)
    run = start(pipeline)
    training.take_back(TrainingConsent.objects.get(), "owner", now())
    fall_asleep(monkeypatch)
    actions.cancel(run, actor="owner", reason="never mind", now=now())
    job = Job.objects.get(run=run, kind="recall")

    assert recall.work(Work(job)) == {"rows": True}
    told = {"url": SEAT["url"], "network": True, "secret": {"key": "sk-planted"}}
    assert asked == [{"kind": "recall", **told}]
    with scope.agency_scope(pipeline.agency_id):
        training.withdraw_service(service, "owner", now())
        training.add_service(pipeline.client.agency, SEAT | {"url": "http://127.0.0.1:10/v1"}, "", "owner", now())
    with pytest.raises(NoSeat, match="client does not allow"):
        recall.work(Work(job))


def test_consent_to_one_address_is_none_to_another(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, looks: list[int]
) -> None:
    add_rows(0, 30)
    job = train_job(start(pipeline))
    with scope.agency_scope(pipeline.agency_id):
        training.withdraw_service(service, "owner", now())
        moved = SEAT | {"url": "http://127.0.0.1:10/v1"}
        training.add_service(pipeline.client.agency, moved, "", "owner", now())
    with pytest.raises(NoSeat, match="client does not allow"):
        seat_of(job)


def test_a_service_for_another_base_or_a_command_that_is_not_registered_is_refused(
    pipeline: Pipeline, add_rows: Callable[..., None], service: TrainingService, looks: list[int]
) -> None:
    add_rows(0, 30)
    job = train_job(start(pipeline))
    for recipe, sentence in (
        ({"base": "smollm2"}, "trains the base tiny"),
        ({"trainer": "command:axolotl"}, "RETUNE_TRAINER_COMMANDS"),
    ):
        body = job.run.revision.body
        job.run.revision.body = body | {"recipe": body["recipe"] | recipe}
        job.run.revision.__dict__.pop("settings", None)
        with pytest.raises(JobFailed, match=sentence) as refused:
            seat_of(job)
        assert refused.value.permanent
        job.run.revision.body = body
