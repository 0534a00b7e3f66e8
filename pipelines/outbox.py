"""The outbox: a notice is written in the transaction that made it true, and sent afterwards, at least once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pipelines import notifiers
from pipelines.models import Notice, Run
from pipelines.notifiers import Message, Notifier, SendFailed
from tenants.models import Pipeline

KINDS = ("promoted", "stopped", "rejected", "held", "failed", "rolled_back", "noticed", "drill_failed", "drift")
BACKOFF = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60))
MAX_ATTEMPTS = 27  # The last pause repeats: a mail server may be down for a day.

Composer = Callable[[Notice], Message]
_composers: list[Composer] = []


class NoComposer(RuntimeError):
    """Nothing is registered that turns a notice into a message."""


def register_composer(composer: Composer) -> None:
    """Called once at start by the shell, which knows pages, words and looks. The last registration counts."""
    _composers[:] = [composer]


def notify(run: Run, kind: str, now: datetime, detail: dict[str, Any] | None = None) -> Notice:
    """The notice of this kind about the run, written once: a second call answers with the first one's row.

    A run that was approved may be held again, in the same stage too, and each time a person must hear of it. Without
    recipients the row is kept, but never due. `detail` keeps stage and reason as they are now. Raises ValueError for
    an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown notice {kind!r}. Known: {', '.join(KINDS)}.")
    key = f"{kind}:{run.pk}"
    if kind == "noticed":
        key += f":{(detail or {})['guardrail']}"  # Once for each guardrail, not at every look.
    if kind == "drill_failed":
        key += f":{(detail or {})['drill']}"
    if kind == "held":
        key += f":{run.stage}:{len(run.approvals.get(run.stage, []))}"
    found = Notice.objects.filter(pipeline_id=run.pipeline_id, key=key).first()
    if found is not None:
        return found
    recipients = list(run.revision.settings.recipients)
    told = {"stage": run.stage, "reason": run.reason} | (detail or {})
    fields = {"kind": kind, "recipients": recipients, "detail": told, "due_at": now if recipients else None}
    notice = Notice.of(run, pipeline_id=run.pipeline_id, run=run, key=key, created_at=now, **fields)
    notice.save()
    return notice


def notify_of_host(pipeline: Pipeline, key: str, kind: str, now: datetime, detail: dict[str, Any]) -> Notice:
    """A notice that no run is behind: to those whom the pipeline's settings name, once for each key."""
    recipients = list(pipeline.settings.recipients) if pipeline.revision else []
    fields = {"kind": kind, "recipients": recipients, "detail": detail, "created_at": now}
    owner = {"agency_id": pipeline.agency_id, "client_id": pipeline.client_id, "due_at": now if recipients else None}
    notice: Notice = Notice.objects.get_or_create(pipeline=pipeline, key=key, defaults=fields | owner)[0]
    return notice


def send_due(notice_id: int, now: datetime, composer: Composer | None = None, notifier: Notifier | None = None) -> bool:
    """Claims a due notice, composes it and hands it over; expects its client's scope. True when this call sent it.

    The claim moves `due_at` to the next attempt before anything is composed: neither a crash nor a notice that cannot
    be composed can block the others or be sent by two workers at once.
    """
    notice = _claim(notice_id, now)
    if notice is None:
        return False
    message = (composer or _registered())(notice)
    return _hand_over(notice, message, notifier or notifiers.load("email"), now)


def _claim(notice_id: int, now: datetime) -> Notice | None:
    due = Notice.objects.select_related("pipeline", "client", "run").filter(pk=notice_id, due_at__lte=now).first()
    if due is None:
        return None
    attempts = due.attempts + 1
    retry_at = now + BACKOFF[min(attempts, len(BACKOFF)) - 1] if attempts < MAX_ATTEMPTS else None
    mine = Notice.objects.filter(pk=due.pk, client_id=due.client_id, attempts=due.attempts, due_at=due.due_at)
    if not mine.update(attempts=attempts, due_at=retry_at):
        return None
    due.attempts, due.due_at = attempts, retry_at
    return due


def _hand_over(notice: Notice, message: Message, notifier: Notifier, now: datetime) -> bool:
    row = Notice.objects.filter(pk=notice.pk, client_id=notice.client_id)
    try:
        notifier.send(message, notice.recipients)
    except SendFailed as error:
        row.update(error=str(error))
        return False
    row.update(sent_at=now, due_at=None, error="")
    return True


def _registered() -> Composer:
    if not _composers:
        raise NoComposer("No composer is registered: call pipelines.outbox.register_composer at start.")
    return _composers[0]
