"""Starting runs, with new weights or only a new prompt; approving, rejecting and cancelling them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.db import transaction
from django.utils.translation import gettext as _
from pydantic import Field, ValidationError

from pipelines import outbox
from pipelines.actions.pausing import refuse_paused
from pipelines.actions.refused import ActionRefused, refuse_capped
from pipelines.actions.two_people import confirmed_by, second_for
from pipelines.artifacts import store_of
from pipelines.domain.prompting import with_system
from pipelines.domain.transitions import LIVE_JOBS, LIVE_RUNS, RunStatus
from pipelines.engine import dispatch
from pipelines.engine.jobs import cancel_jobs
from pipelines.heavy.measure import latest_sets
from pipelines.models import Job, ModelVersion, PipelineState, Rollout, Run, RunEvent
from pipelines.outbox import alarms
from pipelines.records.version import Prompt, make_prompt_version
from pipelines.shipping.ending import on_rest
from tenants.models import AuditEvent, CapKind, EvalCase, Pipeline
from tenants.people.four_eyes import Topic
from tenants.pipeline_settings import Part

MAX_SYSTEM_CHARS = 20_000
# What the worker's own engine can apply; the others change how a host chooses tokens.
MEASURED_HERE = frozenset({"stop", "num_predict"})
# Where an approval brings a version to its traffic; data that is confirmed before is judged all the same.
PROMOTING = ("compare", "deploy", "monitor")


class Parameters(Part):
    """Parameters that a version may bring, as hosts name them. None: as it is."""

    stop: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field((), max_length=8)
    num_predict: int | None = Field(None, ge=1, le=4096)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=1, le=1000)
    min_p: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, ge=0.5, le=2)


@transaction.atomic
def start_run(
    pipeline: Pipeline, *, actor: str, now: datetime, reason: str = "", force: bool = False, kind: str = "person"
) -> Run:
    """A run by a person or key. `force` passes the cooldown and needs a reason."""
    state = state_of(pipeline)
    if force and not reason:
        raise ActionRefused(_("Forcing a run needs a reason."))
    refuse_paused(pipeline)
    if not force and state.cooldown_until is not None and now < state.cooldown_until:
        raise ActionRefused(
            _("Cooling down until %(until)s after a rollback or quality run. Force it with a reason if it cannot wait.")
            % {"until": state.cooldown_until.isoformat(timespec="minutes")}
        )
    run = create_run(state, {"kind": kind, "by": actor, "reason": reason, "forced": force}, now)
    AuditEvent.append(pipeline, actor, "run.start", f"{pipeline.slug} run {run.number}", now, run.occasion)
    return run


def read_prompt(system: str, replaces: bool, parameters: dict[str, Any]) -> Prompt:
    """A prompt out of what a person or an application wrote; ActionRefused with the first thing that is wrong."""
    if len(system) > MAX_SYSTEM_CHARS:
        raise ActionRefused(_("A system prompt has at most %(top)s characters.") % {"top": f"{MAX_SYSTEM_CHARS:,}"})
    if "\x00" in system:
        raise ActionRefused(_("The system prompt holds a NUL character."))
    try:
        read = Parameters.model_validate(parameters)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ActionRefused(_("Parameter %(name)s: %(why)s.") % {"name": where, "why": first["msg"]}) from error
    given = read.model_dump(mode="json", exclude_defaults=True)
    return Prompt(system.strip(), bool(replaces and system.strip()), given)


@transaction.atomic
def start_prompt_run(
    parent: ModelVersion, prompt: Prompt, *, actor: str, reason: str, now: datetime, force: bool = False
) -> Run:
    """A run that skips training: its version is there at once, and judged as any other."""
    pipeline = parent.pipeline
    _refuse_idle(parent, prompt)
    _refuse_unmeasured(pipeline, prompt)
    if not store_of(parent.client_id).has_all(parent.files):
        raise ActionRefused(_("The file of %(label)s is no longer in the store.") % {"label": parent.label})
    run = start_run(pipeline, actor=actor, now=now, reason=reason, force=force, kind="prompt")
    make_prompt_version(run, parent, prompt, now)
    return run


def _refuse_idle(parent: ModelVersion, prompt: Prompt) -> None:
    if (prompt.system, prompt.replaces, prompt.parameters) == (
        parent.system,
        parent.replaces_system,
        parent.parameters,
    ):
        raise ActionRefused(_("Nothing differs from %(label)s: there is nothing to judge.") % {"label": parent.label})


def _refuse_unmeasured(pipeline: Pipeline, prompt: Prompt) -> None:
    """What no evaluation would see must not reach the traffic."""
    settings = pipeline.settings
    unseen = sorted(set(prompt.parameters) - MEASURED_HERE)
    if unseen and settings.criteria.evaluate_on != "host":
        names = ", ".join(unseen)
        raise ActionRefused(
            _(
                "%(names)s can only be measured on a host. Set “Measure on” to host in the settings, "
                "or leave it as it is."
            )
            % {"names": names}
        )
    if prompt.system and not _seen_by(pipeline, prompt):
        raise ActionRefused(
            _(
                "Every evaluation case brings a system prompt of its own, so this one would not be measured. "
                "Let it replace theirs, or change the evaluation sets."
            )
        )


def _seen_by(pipeline: Pipeline, prompt: Prompt) -> bool:
    """Whether some case would be asked under the new system prompt; without cases there is nothing to refuse."""
    cases = EvalCase.objects.filter(eval_set__in=latest_sets(pipeline.pk)).values_list("messages", flat=True)
    under = (with_system(messages, prompt.system, prompt.replaces) for messages in cases.iterator())
    return any(asked and asked[0].get("content") == prompt.system for asked in under) or not cases.exists()


def create_run(state: PipelineState, occasion: dict[str, Any], now: datetime) -> Run:
    """The next run of a pipeline, queued. At most one is live, which the database makes sure of."""
    state = PipelineState.objects.select_for_update(of=("self",)).select_related("pipeline__revision").get(pk=state.pk)
    pipeline = state.pipeline
    refuse_paused(pipeline)
    if pipeline.revision is None:
        raise ActionRefused(_("The pipeline has no settings yet."))
    live = Run.objects.filter(pipeline=pipeline, status__in=LIVE_RUNS).first()
    if live is not None:
        raise ActionRefused(
            _("Run %(number)s is still live (%(status)s).") % {"number": live.number, "status": live.status}
        )
    # One that would have no place, no room for its model or no money left is not begun.
    refuse_capped(pipeline, now, CapKind.RUNS, CapKind.SPEND, CapKind.BYTES)
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
def measure_hops(version: ModelVersion, *, actor: str, now: datetime) -> Job:
    """Orders the measurement of what each step from base model to host cost; one at a time for each version."""
    run = Run.objects.select_for_update().get(pk=version.run_id)
    if not version.adapter_digest or version.card.get("training", {}).get("kind", "adapter") != "adapter":
        raise ActionRefused(_("No adapter was kept of %(label)s.") % {"label": version.label})
    earlier = Job.objects.filter(run=run, kind__startswith="hops")
    if earlier.filter(status__in=LIVE_JOBS).exists():
        raise ActionRefused(_("It is being measured already."))
    fields = {"kind": f"hops:{earlier.count() + 1}", "stage": "evaluate", "queue": "cpu"}
    job = Job.of(run, run=run, created_at=now, due_at=now, **fields)
    job.save()
    dispatch.work_job(job.client_id, job.pk, job.queue)
    AuditEvent.append(version, actor, "version.hops", f"{version.pipeline.slug} {version.label}", now, {})
    return job


@transaction.atomic
def approve(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """A held run goes on: its stage is asked again and finds the approval, with who and why."""
    must_be_held(run, reason)
    second = second_for(run, Topic.PROMOTION, actor) if run.stage in PROMOTING else ""
    entry = {"by": actor, "reason": reason, "at": now.isoformat(), "asked": run.reason} | confirmed_by(second)
    run.approvals = run.approvals | {run.stage: [*run.approvals.get(run.stage, []), entry]}
    by = f"{actor}, confirmed by {second}" if second else actor
    moved = run.move(RunStatus.QUEUED, f"approved by {by}: {reason}", now, due_at=now, approvals=run.approvals)
    _must_have_moved(moved)
    detail = {"stage": run.stage, "reason": reason} | confirmed_by(second)
    AuditEvent.append(run, actor, "run.approve", _subject(run), now, detail)
    outbox.tell_decided(run, run.reason, now)
    dispatch.wake_run(run.client_id, run.pk)


@transaction.atomic
def acknowledge(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """Somebody looks at a held run: nobody is reminded of it any more, until it is held again."""
    must_be_held(run, reason)
    alarms.take(run, actor)
    AuditEvent.append(run, actor, "run.acknowledge", _subject(run), now, {"stage": run.stage, "reason": reason})


@transaction.atomic
def reject(run: Run, *, actor: str, reason: str, now: datetime) -> None:
    """A person turns the held candidate down."""
    must_be_held(run, reason)
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


def must_be_held(run: Run, reason: str) -> None:
    if run.status != RunStatus.HELD:
        raise ActionRefused(_("Only a held run can be decided; this one is %(status)s.") % {"status": run.status})
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))


def _must_have_moved(moved: bool) -> None:
    if not moved:
        raise ActionRefused(_("Somebody else decided at the same moment. Reload the page."))


def _subject(run: Run) -> str:
    return f"{run.pipeline.slug} run {run.number}"
