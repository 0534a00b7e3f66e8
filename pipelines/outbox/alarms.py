"""What is told because nobody acted, or because mail itself is down; and when neither is true any more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from pipelines.domain.transitions import RunStatus
from pipelines.models import Notice, Run
from pipelines.outbox import deliveries
from tenants import scope
from tenants.models import Agency
from tenants.people.owners import owners_of

# Written with the notice of a held run, due later, and needed only while nobody decided or took it.
LATER = {"reminder": "remind_after_s", "escalated": "escalate_after_s"}
# A mail server that is away for minutes is met by the next try: this is the third.
MAIL_DOWN_ATTEMPTS = 3


def plan_reminders(held: Notice, run: Run, now: datetime) -> None:
    """Those who were told are reminded; then the owners hear of it."""
    settings = run.revision.settings
    for kind, name in LATER.items():
        seconds = getattr(settings, name)
        if seconds is None:
            continue
        fields: dict[str, Any] = {"kind": kind, "key": f"{kind}:{held.key}", "recipients": held.recipients}
        fields |= {"detail": held.detail | {"of": held.pk, "since": now.isoformat()}, "created_at": now}
        Notice.of(run, pipeline_id=run.pipeline_id, run=run, due_at=now + timedelta(seconds=seconds), **fields).save()


def is_needed(notice: Notice) -> bool:
    """A reminder only while the run still waits where it waited then."""
    if notice.kind not in LATER:
        return True
    run = Run.objects.filter(pk=notice.run_id, status=RunStatus.HELD, stage=notice.detail["stage"]).first()
    return run is not None and held_key(run) == notice.key.partition(":")[2]


def held_key(run: Run) -> str:
    """Once for each time that a run is held: a run that was approved may be held again, in the same stage too."""
    return f"held:{run.pk}:{run.stage}:{len(run.approvals.get(run.stage, []))}"


def take(run: Run, by: str) -> int:
    """Somebody looks at the held run: nobody is reminded of it any more. Gives how many reminders that ended."""
    later = Notice.objects.filter(run=run, kind__in=LATER, due_at__isnull=False)
    return int(later.update(due_at=None, error=f"{by} looks at it."))


def recipients_of(notice: Notice) -> list[str]:
    """The owners are looked up when it is sent: those of today."""
    return owners_of(notice.agency_id) if notice.kind == "escalated" else list(notice.recipients)


def mail_refused(notice: Notice, tries: int, reason: str, now: datetime) -> None:
    """So many tries met no mail server: the agency's other channels are told, once until a mail is taken again."""
    if tries >= MAIL_DOWN_ATTEMPTS and _told_down(notice.agency_id) is None:
        _tell_channels(notice, "mail_down", reason, now)


def mail_taken(notice: Notice, now: datetime) -> None:
    """Whoever's mail it was: the end goes where the beginning went, and closes the alarm that it opened."""
    down = _told_down(notice.agency_id)
    if down is not None:
        _tell_channels(down, "mail_up", "", now)


def _told_down(agency_id: int) -> Notice | None:
    """What told that mail is down, while nothing told that it is up again; of any of the agency's clients."""
    with scope.agency_scope(agency_id):
        rows = Notice.objects.filter(agency_id=agency_id, kind__in=("mail_down", "mail_up"))
        last: Notice | None = rows.order_by("-id").first()
    return last if last is not None and last.kind == "mail_down" else None


@transaction.atomic
def _tell_channels(about: Notice, kind: str, reason: str, now: datetime) -> None:
    """Once, whoever else finds it at the same moment."""
    Agency.objects.select_for_update().get(pk=about.agency_id)
    if (_told_down(about.agency_id) is None) == (kind == "mail_up"):
        return
    fields = {"kind": kind, "key": f"{kind}:{now.isoformat()}", "detail": {"reason": reason}, "created_at": now}
    with scope.agency_scope(about.agency_id):
        made = Notice.of(about, pipeline_id=about.pipeline_id, **fields)
        made.save()
        deliveries.spread(made, now)
