"""From a notice to what channels are told: the report that the mail is made of, in fewer words."""

from __future__ import annotations

from datetime import UTC

from django.utils import timezone, translation

from agency.mail.report import report_of
from agency.mail.words import one_line
from pipelines.domain.telling.incidents import incident_of
from pipelines.models import Notice
from pipelines.notifiers.events import Event
from tenants.models import Agency

REASONS = 5


def describe(notice: Notice) -> Event:
    """In English, as staff pages are."""
    with translation.override("en"), timezone.override(notice.client.zone):
        report = report_of(notice)
    incident = incident_of(notice.kind, notice.detail)
    return Event(
        message_id="",
        kind=notice.kind,
        at=notice.created_at.astimezone(UTC),
        tone=report.tone,
        subject=report.subject,
        headline=report.headline,
        safe=report.safe,
        advice=report.advice,
        reasons=report.failures[:REASONS],
        agency=one_line(Agency.objects.get(pk=notice.agency_id).name, 60),
        client=notice.client.slug,
        pipeline=notice.pipeline.slug,
        what=report.what,
        url=report.url,
        incident=one_line(incident.name, 80),
        is_over=incident.is_over,
    )
