"""What follows when a run comes to rest: its rows, its version, and who is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from pipelines import outbox
from pipelines.artifacts import store_of
from pipelines.cards import version_yaml
from pipelines.domain.transitions import JobStatus, RolloutStatus, RunStatus
from pipelines.engine.jobs import cancel_jobs, ensure_job
from pipelines.models import Example, ExampleState, Job, ModelVersion, PipelineState, Rollback, Rollout, Run

TOLD = {
    RunStatus.HELD: "held",
    RunStatus.STOPPED: "stopped",
    RunStatus.REJECTED: "rejected",
    RunStatus.FAILED: "failed",
    RunStatus.ROLLED_BACK: "rolled_back",
}
# A run that ends like this shows that the trouble is over: work was finished; data passed its checks.
ENDED_BY = {
    "failed": (RunStatus.SUCCEEDED, RunStatus.STOPPED, RunStatus.REJECTED, RunStatus.ROLLED_BACK),
    "stopped": (RunStatus.SUCCEEDED, RunStatus.REJECTED, RunStatus.ROLLED_BACK),
}
PARKING = (RunStatus.STOPPED, RunStatus.REJECTED, RunStatus.ROLLED_BACK)
LOOK_AGAIN = timedelta(minutes=1)
RECALL = "recall"
# What puts hosts right by what is in production; a run that has brought its version there does not wait for it.
OUTLIVES_SUCCESS = Q(kind="alias") | Q(kind__startswith="push:", kind__contains=":repair-")


def on_rest(run: Run, now: datetime, *, taken_back: Rollback | None = None) -> None:
    """In the same transaction as the verdict. `taken_back`: how its version was rolled back, perhaps long after it."""
    status = RunStatus.ROLLED_BACK if taken_back else RunStatus(run.status)
    if status in TOLD:
        outbox.notify(run, TOLD[status], now, _told(run, taken_back))
    keep_card(run)
    if status == RunStatus.HELD:
        return
    outbox.tell_decided(run, run.reason, now)
    for trouble, ends in ENDED_BY.items():
        if status in ends:
            outbox.tell_recovered(run.pipeline, trouble, now)
    _settle_rows(run, status)
    _settle_version(run, status)
    if not taken_back:
        cancel_jobs(run, now, OUTLIVES_SUCCESS if status == RunStatus.SUCCEEDED else None)
        _recall_training(run, now)
    _settle_triggers(run, now)


def _told(run: Run, taken_back: Rollback | None) -> dict[str, Any]:
    detail: dict[str, Any] = {"stage": run.stage, "reason": run.reason}
    return detail | ({"rollback": taken_back.pk, "reason": taken_back.sentence} if taken_back else {})


def _recall_training(run: Run, now: datetime) -> None:
    """A service that still trains for a run that is over is told so, and the rows that it was sent are removed."""
    if not run.revision.settings.recipe.trainer.startswith("remote:") or run.is_import:
        return
    given_up = (JobStatus.CANCELLED, JobStatus.FAILED)
    if Job.objects.filter(run=run, kind="train", status__in=given_up, started_at__isnull=False).exists():
        ensure_job(run, RECALL, "cpu", {}, now)


def keep_card(run: Run) -> None:
    """`version.yaml` beside the GGUF, once the transaction that changed its facts is through.

    A store that takes nothing now leaves the card as it was: what was decided stands, and everybody else hears of it.
    """
    # A function of its own: Django logs a robust one by its name, which a partial has not.
    transaction.on_commit(lambda: _write_card(run), robust=True)


def _write_card(run: Run) -> None:
    version = ModelVersion.objects.filter(run=run).first()
    store = store_of(run.client_id)
    if version is not None and store.has(version.own_digest):
        name = f"{version.label}.version.yaml" if version.shares_file else "version.yaml"
        store.put_beside(version.own_digest, name, version_yaml(version).encode())


def _settle_rows(run: Run, status: RunStatus) -> None:
    """Rows of a bad run are parked until a person releases them.

    Those of one that just did not work out are new again. What was withdrawn meanwhile comes back as such a row.
    """
    rows = Example.objects.filter(pipeline_id=run.pipeline_id)
    _settle(run, status, rows.filter(state=ExampleState.READY), "state")
    _settle(run, status, rows.filter(state=ExampleState.WITHDRAWN, before=ExampleState.READY), "before")


def _settle(run: Run, status: RunStatus, rows: QuerySet[Example], column: str) -> None:
    trained, judged = rows.filter(dataset__run=run), rows.filter(judged_in=run, dataset__isnull=True)
    if status in PARKING:
        trained.update(**{column: ExampleState.PARKED}, rule=status)
        judged.update(**{column: ExampleState.PARKED}, rule=status)
    elif status != RunStatus.SUCCEEDED:
        trained.update(dataset=None, judged_in=None)
        judged.update(judged_in=None)


def _settle_version(run: Run, status: RunStatus) -> None:
    candidate = ModelVersion.objects.filter(run=run, status="candidate")
    if status == RunStatus.REJECTED:
        candidate.update(status="rejected")
    elif status != RunStatus.SUCCEEDED:
        candidate.update(status="archived")
    if status != RunStatus.SUCCEEDED:
        Rollout.objects.filter(run=run, status=RolloutStatus.PLACED).update(status=RolloutStatus.RETIRED)


def _settle_triggers(run: Run, now: datetime) -> None:
    state = PipelineState.objects.filter(pipeline_id=run.pipeline_id)
    state.update(due_at=now + LOOK_AGAIN)
    if run.occasion.get("kind") == "quality":
        state.update(cooldown_until=now + run.revision.settings.triggers.cooldown)
