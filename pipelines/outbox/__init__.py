"""The outbox: a notice is written in the transaction that made it true, and sent afterwards, at least once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipelines.models import Notice, Run
from pipelines.outbox import alarms, deliveries, troubles
from pipelines.outbox.mails import BACKOFF, MAX_ATTEMPTS, Composer, NoComposer, register_composer, send_due
from pipelines.outbox.troubles import tell_recovered
from tenants.models import Pipeline

__all__ = [
    "BACKOFF",
    "CHANNEL_KINDS",
    "KINDS",
    "MAILED_KINDS",
    "MAX_ATTEMPTS",
    "Composer",
    "NoComposer",
    "notify",
    "notify_of_host",
    "register_composer",
    "send_due",
    "tell_decided",
    "tell_recovered",
]
# What a run's people are told of; what its end may say is over.
OF_RUNS = ("promoted", "stopped", "rejected", "held", "failed", "rolled_back", "noticed", "drill_failed", "drift")
# What a channel may be told where it wants it. What ends a trouble goes where the trouble went.
CHANNEL_KINDS = (*OF_RUNS, "reminder", "escalated", "mail_down")
# What a mailbox may get.
MAILED_KINDS = (*OF_RUNS, "rollback_stuck", "recovered", "reminder", "escalated", "channel_off")
KINDS = (*CHANNEL_KINDS, "rollback_stuck", "recovered", "decided", "mail_up", "channel_off")


def notify(run: Run, kind: str, now: datetime, detail: dict[str, Any] | None = None) -> Notice:
    """The notice of this kind about the run, written once: a second call answers with the first one's row.

    A run that was approved may be held again, in the same stage too, and each time a person must hear of it. Without
    recipients the row is kept, but never due; so is what only repeats what was told. `detail` keeps stage and reason as
    they are now. Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown notice {kind!r}. Known: {', '.join(KINDS)}.")
    key = _key(run, kind, detail or {})
    found = Notice.objects.filter(pipeline_id=run.pipeline_id, key=key).first()
    if found is not None:
        return found
    told = {"stage": run.stage, "reason": run.reason} | (detail or {})
    is_muted = troubles.repeats(run.pipeline_id, kind, told["stage"], now)
    recipients = run.revision.settings.mailed(kind)
    fields = {"kind": kind, "recipients": recipients, "detail": told | ({"muted": True} if is_muted else {})}
    due_at = now if recipients and not is_muted else None
    notice = Notice.of(run, pipeline_id=run.pipeline_id, run=run, key=key, created_at=now, due_at=due_at, **fields)
    notice.save()
    if not is_muted:
        deliveries.spread(notice, now)
    if kind == "held":
        alarms.plan_reminders(notice, run, now)
    return notice


def _key(run: Run, kind: str, detail: dict[str, Any]) -> str:
    match kind:
        case "noticed":
            return f"{kind}:{run.pk}:{detail['guardrail']}"  # Once for each guardrail, not at every look.
        case "drill_failed":
            return f"{kind}:{run.pk}:{detail['drill']}"
        case "rolled_back" if "rollback" in detail:
            return f"{kind}:{run.pk}:{detail['rollback']}"  # A version that was brought back may be taken back again.
        case "rollback_stuck":
            return f"{kind}:{detail['rollback']}:{'given up' if detail['given_up'] else ''}"
        case "held":
            return alarms.held_key(run)
    return f"{kind}:{run.pk}"


def tell_decided(run: Run, by: str, now: datetime) -> None:
    """A held run goes on or ends: alarms that it opened are closed. No mail: whoever decided knows."""
    held = Notice.objects.filter(run=run, kind="held").order_by("-id").first()
    if held is None or Notice.objects.filter(pipeline_id=run.pipeline_id, key=f"decided:{held.key}").exists():
        return
    alarms.take(run, by)
    fields = {"kind": "decided", "key": f"decided:{held.key}", "detail": {"stage": held.detail["stage"], "reason": by}}
    made = Notice.of(run, pipeline_id=run.pipeline_id, run=run, created_at=now, **fields)
    made.save()
    deliveries.spread(made, now)


def notify_of_host(pipeline: Pipeline, key: str, kind: str, now: datetime, detail: dict[str, Any]) -> Notice:
    """A notice that no run is behind: to those whom the pipeline's settings name, once for each key."""
    recipients = pipeline.settings.mailed(kind) if pipeline.revision else []
    fields = {"kind": kind, "recipients": recipients, "detail": detail, "created_at": now}
    owner = {"agency_id": pipeline.agency_id, "client_id": pipeline.client_id, "due_at": now if recipients else None}
    notice, is_new = Notice.objects.get_or_create(pipeline=pipeline, key=key, defaults=fields | owner)
    if is_new:
        deliveries.spread(notice, now)
    return notice
