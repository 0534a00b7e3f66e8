"""A message that only shows that a channel takes messages."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from pipelines.notifiers import SendFailed
from pipelines.notifiers.events import Event
from pipelines.outbox import deliveries
from tenants.models import Agency, AuditEvent, Channel


def send_trial_event(row: Channel, asked_by: str, now: datetime) -> tuple[bool, str]:
    """At once, whether the channel is switched on or not. Whether it was taken, and a sentence for who asked."""
    AuditEvent.append(row, asked_by, "channel.test", row.name, now)
    try:
        for is_over in (False, True) if row.kind == "pagerduty" else (False,):  # An alarm is closed again.
            code = deliveries.post(row, _event(row, asked_by, now, is_over), now)
    except SendFailed as refused:
        return False, str(refused)
    return True, _("It was taken: the server answered %(code)s.") % {"code": code}


def _event(row: Channel, asked_by: str, now: datetime, is_over: bool) -> Event:
    said = _("This is a test: notices of Retune arrive here. %(who)s asked for it.") % {"who": asked_by}
    return Event(
        message_id=f"msg_{uuid4().hex}",
        kind="test",
        at=now,
        tone="good",
        subject=_("Test from Retune"),
        headline=said,
        safe="",
        advice="",
        reasons=(),
        agency=Agency.objects.get(pk=row.agency_id).name,
        client=row.client.slug if row.client else "all",
        pipeline="test",
        what=row.name,
        url=f"{settings.BASE_URL.rstrip('/')}{reverse('channel', args=[row.pk])}",
        incident="test",
        is_over=is_over,
    )
