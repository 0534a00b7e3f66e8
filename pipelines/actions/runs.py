"""Starting, approving, rejecting and cancelling runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.domain.transitions import LIVE_RUNS, RunStatus
from pipelines.engine import dispatch
from pipelines.engine.jobs import cancel_jobs
from pipelines.models import PipelineState, Rollout, Run, RunEvent
from pipelines.shipping.ending import on_rest
from tenants.models import AuditEvent, Pipeline


@transaction.atomic
def start_run(
    pipeline: Pipeline, *, actor: str, now: datetime, reason: str = "", force: bool = False, kind: str = "person"
) -> Run:
    """A run by a person or key. `force` passes the cooldown and needs a reason."""
    state = state_of(pipeline)
    if force and not reason:
        raise ActionRefused(_("Forcing a run needs a reason."))
    if pipeline.is_paused:
        raise ActionRefused(_("The pipeline is paused. Resume it first."))
    if not force and state.cooldown_until is not None and now < state.cooldown_until:
        raise ActionRefused(
            _("Cooling down until %(until)s after a rollback or quality run. Force it with a reason if it cannot wait.")
            % {"until": state.cooldown_until.isoformat(timespec="minutes")}
        )
    run = create_run(state, {"kind": kind, "by": actor, "reason": reason, "forced": force}, now)
    AuditEvent.append(pipeline, actor, "run.start", f"{pipeline.slug} run {run.number}", now, run.occasion)
    return run


def create_run(state: PipelineState, occasion: dict[str, Any], now: datetime) -> Run:
    """The next run of a pipeline, queued. At most one is live, which the database makes sure of."""
    state = PipelineState.objects.select_for_update(of=("self",)).select_related("pipeline__revision").get(pk=state.pk)
    pipeline = state.pipeline
    if pipeline.revision is None:
        raise ActionRefused(_("The pipeline has no settings yet."))
    live = Run.objects.filter(pipeline=pipeline, status__in=LIVE_RUNS).first()
    if live is not None:
        raise ActionRefused(
            _("Run %(number)s is still live (%(status)s).") % {"number": live.number, "status": live.status}
        )
    state.last_run_number += 1
    fields = {"number": state.last_run_number, "occasion": occasion, "created_at": now, "due_at": now}
    run = Run.of(pipeline, pipeline=pipeline, revision=pipeline.revision, **fields)
    run.save()
    RunEvent.record(run, "trigger", "", RunStatus.QUEUED, str(occasion["kind"]), now)
    state.latest_run = run
    state.save(update_fields=["last_run_number", "latest_run"])
    dispatch.wake_run(run.client_id, run.pk)
    return run


def state_of(pipeline: Pipeline) -> PipelineState:
    found = PipelineState.objects.filter(pipeline=pipeline).first()
    return (
        found
        or PipelineState.objects.get_or_create(
            pipeline=pipeline, defaults={"agency_id": pipeline.agency_id, "client_id": pipeline.client_id}
        )[0]
    )


@transaction.atomic
def approve(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """A held run goes on: its stage is asked again and finds the approval, with who and why."""
    _must_be_held(run, reason)
    entry = {"by": actor, "reason": reason, "at": now.isoformat()}
    run.approvals = run.approvals | {run.stage: [*run.approvals.get(run.stage, []), entry]}
    moved = run.move(RunStatus.QUEUED, f"approved by {actor}: {reason}", now, due_at=now, approvals=run.approvals)
    _must_have_moved(moved)
    AuditEvent.append(run, actor, "run.approve", _subject(run), now, {"stage": run.stage, "reason": reason})
    dispatch.wake_run(run.client_id, run.pk)


@transaction.atomic
def reject(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """A person turns the held candidate down."""
    _must_be_held(run, reason)
    _refuse_in_traffic(run)
    verdict = RunStatus.STOPPED if run.stage == "validate" else RunStatus.REJECTED
    _must_have_moved(run.move(verdict, f"turned down by {actor}: {reason}", now, verdict=verdict))
    AuditEvent.append(run, actor, "run.reject", _subject(run), now, {"stage": run.stage, "reason": reason})
    on_rest(run, now)


@transaction.atomic
def cancel(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """Ends a live run. One that is being worked on ends as soon as its worker hears of it."""
    run = Run.objects.select_for_update().get(pk=run.pk)
    if not run.is_live:
        raise ActionRefused(_("The run is over already (%(status)s).") % {"status": run.status})
    _refuse_in_traffic(run)
    AuditEvent.append(run, actor, "run.cancel", _subject(run), now, {"stage": run.stage, "reason": reason})
    cancel_jobs(run, now)
    text = f"cancelled by {actor}: {reason}"
    if run.status == RunStatus.RUNNING:
        run.cancel_asked_at, run.reason = now, text
        run.save(update_fields=["cancel_asked_at", "reason"])
        return
    _must_have_moved(run.move(RunStatus.CANCELLED, text, now, verdict="cancelled"))
    on_rest(run, now)


def _refuse_in_traffic(run: Run) -> None:
    if Rollout.objects.filter(run=run, status__in=("stepping", "live", "halted")).exists():
        raise ActionRefused(_("This version already answers traffic: roll it back instead."))


def _must_be_held(run: Run, reason: str) -> None:
    if run.status != RunStatus.HELD:
        raise ActionRefused(_("Only a held run can be decided; this one is %(status)s.") % {"status": run.status})
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))


def _must_have_moved(moved: bool) -> None:
    if not moved:
        raise ActionRefused(_("Somebody else decided at the same moment. Reload the page."))


def _subject(run: Run) -> str:
    return f"{run.pipeline.slug} run {run.number}"
