"""Where a client's data went in a month, in sentences: what was added, where it trained, who saw it, what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pipelines.models import Batch, Example, ExampleState
from pipelines.reports.client.calendar import Month
from tenants.models import Host, JudgeEndpoint, Pipeline, TrainingConsent

SET_ASIDE = (ExampleState.QUARANTINED, ExampleState.DUPLICATE, ExampleState.LEFT_OUT, ExampleState.DISCARDED)


def data_words(pipeline: Pipeline, month: Month) -> tuple[str, ...]:
    return tuple(_sentences(pipeline, month))


def _sentences(pipeline: Pipeline, month: Month) -> Iterator[str]:
    inside = {"created_at__gte": month.begin, "created_at__lt": month.end}
    batches = Batch.objects.filter(pipeline=pipeline, is_complete=True, **inside)
    rows = Example.objects.filter(pipeline=pipeline, batch__in=batches)
    added, aside = rows.count(), rows.filter(state__in=SET_ASIDE).count()
    yield ngettext("%(n)s example was sent in.", "%(n)s examples were sent in.", added) % {"n": added}
    if aside:
        yield (
            ngettext("%(n)s of them was set aside by the checks.", "%(n)s of them were set aside by the checks.", aside)
            % {"n": aside}
        )
    yield from _trained_where(pipeline, month)
    hosts = Host.objects.filter(client_id=pipeline.client_id, is_enabled=True).count()
    yield ngettext("The model runs on %(n)s server.", "The model runs on %(n)s servers.", hosts) % {"n": hosts}
    yield from _judges(pipeline, month)
    yield _bodies(pipeline)


def _trained_where(pipeline: Pipeline, month: Month) -> Iterator[str]:
    services = _services(pipeline, month)
    if not services:
        yield _("It was used to train your own model only, on computers of your agency.")
        return
    yield _("It was used to train your own model only.")
    yield _("Examples may be sent to the training service that you allowed: %(names)s.") % {
        "names": ", ".join(services)
    }


def _services(pipeline: Pipeline, month: Month) -> list[str]:
    """Training services that were allowed in the month."""
    stood = Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gte=month.begin)
    found = TrainingConsent.objects.filter(stood, client_id=pipeline.client_id, allowed_at__lt=month.end)
    return sorted({f"{one.service} ({urlsplit(one.url).hostname})" for one in found})


def _judges(pipeline: Pipeline, month: Month) -> Iterator[str]:
    """Judge models that were allowed in the month: test questions and answers may have gone to them."""
    stood = Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gte=month.begin)
    names = JudgeEndpoint.objects.filter(stood, client_id=pipeline.client_id, allowed_at__lt=month.end)
    judges = sorted(set(names.values_list("name", flat=True)))
    if judges:
        yield _("Test questions and answers may be shown to the judge model that you allowed: %(names)s.") % {
            "names": ", ".join(judges)
        }
    else:
        yield (
            _("No judge model outside was shown any of it.")
            if _services(pipeline, month)
            else _("Nobody outside was shown any of it.")
        )


def _bodies(pipeline: Pipeline) -> str:
    bodies = pipeline.settings.bodies if pipeline.revision else None
    if bodies is None or not bodies.keep:
        return _("What is asked and answered in use is not kept.")
    words = ngettext(
        "What is asked and answered in use is kept for %(n)s day, without personal data.",
        "What is asked and answered in use is kept for %(n)s days, without personal data.",
        bodies.days,
    )
    plain = ngettext(
        "What is asked and answered in use is kept for %(n)s day.",
        "What is asked and answered in use is kept for %(n)s days.",
        bodies.days,
    )
    return (words if bodies.redaction == "personal" else plain) % {"n": bodies.days}
