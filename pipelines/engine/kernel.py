"""The kernel: claim a run, ask its stage, settle the answer. Any worker, any time, any number of times."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Value, When

from pipelines.domain.transitions import RunStatus
from pipelines.engine import dispatch
from pipelines.engine.doing import doing
from pipelines.engine.heartbeat import beating
from pipelines.engine.outcome import Done, Given, Hold, Outcome, Plan, Retry, Stop, Wait
from pipelines.engine.waiting import LOOK_AGAIN
from pipelines.models import Run, StageRun

log = logging.getLogger(__name__)

MAX_CONSECUTIVE_ERRORS = 4
CLAIMABLE = (RunStatus.QUEUED, RunStatus.WAITING, RunStatus.RUNNING, RunStatus.HELD)
Clock = Callable[[], datetime]


def advance(run_id: int, plan: Plan, clock: Clock) -> bool:
    """One stage's worth of one run. False when there was nothing to claim: a lost, late or doubled message."""
    run = claim(run_id, clock())
    if run is None:
        return False
    with doing(f"stage {run.stage}", story=f"run {run.pk}", run=run.pk):
        if run.status == RunStatus.HELD:
            guard(run, plan, clock())
            return True
        with beating(f"run {run.pk}", settings.LEASE_S / 4, lambda: renew(run, clock())):
            outcome = ask(run, plan, clock())
        settle(run, outcome, plan, clock())
    return True


def claim(run_id: int, now: datetime) -> Run | None:
    """Takes the run if it is due.

    A `running` row that is due has outlived its lease: its lost worker counts as an error. A held one stays as it is,
    for people decide about it at any time: only the next look moves.
    """
    run = Run.objects.select_related("pipeline", "client", "revision").filter(pk=run_id, due_at__lte=now).first()
    if run is None or run.status not in CLAIMABLE:
        return None
    lease = now + timedelta(seconds=settings.LEASE_S)
    with transaction.atomic():
        if run.status == RunStatus.HELD:
            return run if _own(run).filter(due_at=run.due_at).update(due_at=lease) else None
        if run.status != RunStatus.RUNNING:
            return run if run.move(RunStatus.RUNNING, "", now, due_at=lease) else None
        if not _own(run).update(version=run.version + 1, due_at=lease, retries=run.retries + 1):
            return None
    run.version, run.due_at, run.retries = run.version + 1, lease, run.retries + 1
    return run


def renew(run: Run, now: datetime) -> None:
    """A stage that takes long is not taken over while its worker lives."""
    _own(run).update(due_at=now + timedelta(seconds=settings.LEASE_S))


def _own(run: Run) -> Any:
    return Run.objects.filter(pk=run.pk, client_id=run.client_id, version=run.version, status=run.status)


def guard(run: Run, plan: Plan, now: datetime) -> None:
    """One look at a held run. Whatever it raises leaves the run held, and due again when the claim's lease is over."""
    ask_guard = plan.stage(run.stage).guard
    try:
        with transaction.atomic():
            _own(run).update(due_at=ask_guard(run, now) if ask_guard else None)
    except TakenOver:
        log.info("stage %s: a person decided during the look", run.stage)
    except Exception:
        log.exception("guardrails of stage %s", run.stage)


class TakenOver(RuntimeError):
    """Another worker has the run now."""


def check_own(run: Run) -> None:
    """The last statement of a stage's own transaction: what a worker wrote that lost its run is not committed."""
    if _own(run).select_for_update().values_list("pk").first() is None:
        raise TakenOver("another worker took the run over while this one was still at it")


def ask(run: Run, plan: Plan, now: datetime) -> Outcome:
    """The stage's answer. Whatever it raises is an error to be tried again, never the end of the worker."""
    if run.retries > MAX_CONSECUTIVE_ERRORS:
        return Retry("the worker was lost too often")
    try:
        return plan.stage(run.stage).run(run, given(run, now), now)
    except Exception as error:
        log.exception("stage %s", run.stage)
        return Retry(str(error) or type(error).__name__, is_permanent=bool(getattr(error, "permanent", False)))


def given(run: Run, now: datetime) -> Given:
    rows = {row.stage: row for row in StageRun.objects.filter(run=run)}
    if run.stage not in rows:
        rows[run.stage] = StageRun.of(run, run=run, stage=run.stage, started_at=now)
        rows[run.stage].save()
    outputs = {stage: row.output for stage, row in rows.items() if row.status == "done"}
    return Given(run.revision.settings, outputs, rows[run.stage])


@transaction.atomic
def settle(run: Run, outcome: Outcome, plan: Plan, now: datetime) -> None:
    """Writes the answer down, fenced: when another worker took the run over meanwhile, this changes nothing."""
    current = Run.objects.select_for_update().filter(pk=run.pk, version=run.version).first()
    if current is None:
        return
    if current.cancel_asked_at is not None and not isinstance(outcome, Stop):
        outcome = Stop(RunStatus.CANCELLED, current.reason or "cancelled")
    _write(run, outcome, plan, now, is_poked=current.pokes != run.pokes)
    if run.status == RunStatus.HELD or not run.is_live:
        plan.on_rest(run, now)


def _write(run: Run, outcome: Outcome, plan: Plan, now: datetime, is_poked: bool) -> None:
    match outcome:
        case Done(output):
            _finish_stage(run, "done", now, output)
            _go_on(run, plan, now)
        case Wait(until, on):
            # A poke that came while the stage was being asked must not be lost: then it is due again at once.
            _wait(run, now if is_poked else until, on, now)
        case Hold(reason):
            _hold(run, reason, plan, now)
        case Stop(verdict, reason):
            _finish_stage(run, verdict, now)
            run.move(RunStatus(verdict), reason, now, verdict=verdict)
        case Retry(reason, is_permanent):
            _retry(run, reason, is_permanent, plan, now)


def _finish_stage(run: Run, status: str, now: datetime, output: dict[str, Any] | None = None) -> None:
    # No row when the stage was never asked: cancelled, or its worker lost every time.
    changes: dict[str, Any] = {"status": status, "finished_at": now}
    if output is not None:
        changes["output"] = output
    StageRun.objects.filter(run=run, stage=run.stage).update(**changes)


def _go_on(run: Run, plan: Plan, now: datetime) -> None:
    following = plan.after(run.stage, run.path)
    if following is None:
        run.move(RunStatus.SUCCEEDED, "every stage is done", now, verdict="succeeded", retries=0)
        return
    run.move(RunStatus.QUEUED, f"next: {following}", now, stage=following, due_at=now, retries=0)
    dispatch.wake_run(run.client_id, run.pk)


def _wait(run: Run, until: datetime, on: str, now: datetime) -> None:
    run.move(RunStatus.WAITING, on, now, due_at=until, retries=0)
    if until <= now:
        dispatch.wake_run(run.client_id, run.pk)


def _hold(run: Run, reason: str, plan: Plan, now: datetime) -> None:
    due_at = now + LOOK_AGAIN if plan.stage(run.stage).guard else None
    run.move(RunStatus.HELD, reason, now, due_at=due_at, retries=0)


def _retry(run: Run, reason: str, is_permanent: bool, plan: Plan, now: datetime) -> None:
    if is_permanent:
        _finish_stage(run, RunStatus.FAILED, now)
        run.move(RunStatus.FAILED, reason, now, verdict="failed")
    elif run.retries >= MAX_CONSECUTIVE_ERRORS:
        _hold(run, f"{reason} (tried {run.retries + 1} times)", plan, now)
    else:
        pause = timedelta(seconds=settings.RETRY_BASE_S * 2**run.retries)
        run.move(RunStatus.WAITING, f"trying again: {reason}", now, due_at=now + pause, retries=run.retries + 1)


def poke(client_id: int, run_id: int, now: datetime) -> None:
    """Something that the run may wait for has happened."""
    due_at = Case(When(status=RunStatus.WAITING, then=Value(now)), default=F("due_at"))
    Run.objects.filter(pk=run_id, client_id=client_id).update(due_at=due_at, pokes=F("pokes") + 1)
    dispatch.wake_run(client_id, run_id)
