"""Whether a pipeline should start a run now: gathers the facts, asks the judge, writes the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from pipelines.actions.refused import ActionRefused
from pipelines.actions.runs import create_run, state_of
from pipelines.domain import triggers as judge
from pipelines.domain.transitions import LIVE_RUNS
from pipelines.models import Example, ExampleState, Exchange, Feedback, PipelineState, Rollback, Run, TriggerDecision
from pipelines.models.run import LIVE
from pipelines.reports.schedule import rule_of, set_at_of, spread
from tenants.models import Pipeline

LOOK_AGAIN = timedelta(minutes=5)
AT_ONCE = datetime(2000, 1, 1, tzinfo=UTC)  # Due, whatever clock is asked.
DAY = timedelta(days=1)


def consider(state: PipelineState, now: datetime) -> Run | None:
    """One look at one pipeline's triggers. The next look is set before anything can go wrong, by one ticker only."""
    if not PipelineState.objects.filter(pk=state.pk, due_at=state.due_at).update(due_at=now + LOOK_AGAIN):
        return None
    pipeline = state.pipeline
    if pipeline.revision is None:
        return None
    settings = settings_of(pipeline)
    last = _last_decision(pipeline)
    facts = facts_of(state, settings, last, now)
    if pipeline.is_paused:
        _not_yet(state, judge.kept_back(pipeline.pause, settings, facts, now), last, now)
        return None
    match judge.should_start(settings, facts, now):
        case judge.Start(occasion):
            return _start(state, occasion, last, now)
        case judge.NotYet() as answer:
            _not_yet(state, answer, last, now)
            return None


def settings_of(pipeline: Pipeline) -> judge.TriggerSettings:
    """The client's triggers in the judge's own terms."""
    chosen = pipeline.settings.triggers
    return judge.TriggerSettings(
        schedule_rule=rule_of(chosen.schedule) if chosen.schedule else None,
        time_zone=pipeline.client.timezone,
        schedule_set_at=set_at_of([pipeline]).get(pipeline.pk),
        spread=spread(pipeline),
        new_examples=pipeline.settings.starts_at_new_examples,
        quality_below=chosen.quality_below,
        quality_sample=chosen.quality_min_sample,
        cooldown=chosen.cooldown,
        runs_per_day=chosen.max_runs_per_day,
    )


def facts_of(
    state: PipelineState, settings: judge.TriggerSettings, last: TriggerDecision | None, now: datetime
) -> judge.TriggerFacts:
    """What these settings can ask of: of thousands of pipelines each is looked at every few minutes."""
    pipeline = state.pipeline
    runs = Run.objects.filter(pipeline=pipeline)
    quality, sample = quality_of(state, now) if settings.quality_below is not None else (None, 0)
    last_rollback = Rollback.objects.filter(pipeline=pipeline).order_by("-id").first()
    late = list(runs.filter(Q(status__in=LIVE) | Q(created_at__gt=now - DAY)).values_list("status", "created_at"))
    quality_run = runs.filter(occasion__kind="quality", finished_at__isnull=False).order_by("-finished_at").first()
    return judge.TriggerFacts(
        schedule_handled_until=max(filter(None, (state.schedule_seen_at, settings.schedule_set_at)), default=None),
        new_examples=new_examples(pipeline) if settings.new_examples is not None else 0,
        quality=quality,
        quality_sample=sample,
        quality_run_ended_at=quality_run.finished_at if quality_run else None,
        rolled_back_at=last_rollback.decided_at if last_rollback else None,
        has_live_run=any(status in LIVE_RUNS for status, _at in late),
        held_back=(last.at, last.reason) if last and not last.started else None,
        started_at=tuple(at for _status, at in late if at > now - DAY),
    )


def new_examples(pipeline: Pipeline) -> int:
    """Accepted rows of finished uploads that no dataset holds and nobody parked."""
    rows = Example.objects.filter(pipeline=pipeline, state=ExampleState.READY, dataset__isnull=True)
    return rows.filter(batch__is_complete=True).count()


def look_at_pipeline(sender: type[Pipeline], instance: Pipeline, **_: Any) -> None:
    """A new pipeline, or one whose settings changed, is looked at on the next tick (connected in pipelines.apps)."""
    PipelineState.objects.filter(pk=state_of(instance).pk).update(due_at=AT_ONCE)


def quality_of(state: PipelineState, now: datetime) -> tuple[float | None, int]:
    """Share of good answers of production in the last week: feedback where there is any, else the format check.

    Each answer counts once, by the last word on it: who says the same twice has not asked twice.
    """
    if state.production_id is None:
        return None, 0
    since, asked = now - judge.QUALITY_WINDOW, {"client_id": state.client_id, "pipeline": state.pipeline_id}
    asked["version"] = state.production_id
    answers = {f"exchange__{name}": value for name, value in asked.items()}
    last_word = Feedback.objects.filter(exchange=OuterRef("exchange")).order_by("-id").values("pk")[:1]
    told = Feedback.objects.filter(client_id=state.client_id, at__gt=since, pk=Subquery(last_word), **answers)
    seen = Exchange.objects.filter(at__gt=since, is_bad__isnull=False, feedback__isnull=True, **asked)
    good, n = map(sum, zip(_counted(told, Q(is_good=True)), _counted(seen, Q(is_bad=False)), strict=True))
    return (good / n, n) if n else (None, 0)


def _counted(rows: QuerySet[Any], is_good: Q) -> tuple[int, int]:
    """(good, all) in one row: a week may hold a million answers."""
    found = rows.order_by().aggregate(good=Count("pk", filter=is_good), n=Count("pk"))
    return found["good"], found["n"]


def _start(state: PipelineState, occasion: judge.Occasion, last: TriggerDecision | None, now: datetime) -> Run | None:
    """The run and its ledger row in one transaction. A second ticker meets `unique(pipeline, occasion)` and leaves."""
    key = f"{occasion.kind}:{occasion.due_at.isoformat()}"
    said = {"kind": occasion.kind.value, "by": "trigger", "reason": occasion.sentence, "missed": occasion.missed}
    try:
        with transaction.atomic():
            run = create_run(state, said, now)
            _write(state, now, started=True, reason=occasion.sentence, occasion=key, run=run)
            if occasion.kind is judge.TriggerKind.SCHEDULE:
                PipelineState.objects.filter(pk=state.pk).update(schedule_seen_at=occasion.due_at)
    except ActionRefused as refused:
        _not_yet(state, judge.NotYet(f"{refused} Deferred: {occasion.sentence}"), last, now)
        return None
    except IntegrityError:
        return None
    return run


def _not_yet(state: PipelineState, answer: judge.NotYet, last: TriggerDecision | None, now: datetime) -> None:
    """A ledger row when the answer is not the `last` one; the next look no later than when it can change by itself."""
    if answer.next_eligible_at is not None:
        due_at = min(max(answer.next_eligible_at, now + timedelta(seconds=1)), now + LOOK_AGAIN)
        PipelineState.objects.filter(pk=state.pk).update(due_at=due_at)
    if last is None or last.started or last.reason != answer.reason:
        _write(state, now, started=False, reason=answer.reason, next_eligible_at=answer.next_eligible_at)


def _last_decision(pipeline: Pipeline) -> TriggerDecision | None:
    found: TriggerDecision | None = TriggerDecision.objects.filter(pipeline=pipeline).order_by("-id").first()
    return found


def _write(state: PipelineState, now: datetime, **fields: Any) -> None:
    TriggerDecision.of(state, pipeline=state.pipeline, at=now, **fields).save()
