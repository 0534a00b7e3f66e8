"""Where a client's data went in a month, in sentences: what was added, where it trained, who saw it, what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from django.db.models import Count, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pipelines.models import Batch, Example, ExampleState
from pipelines.reports.client.calendar import Month
from tenants.models import Client, Host, JudgeEndpoint, Pipeline, TrainingConsent

SET_ASIDE = (ExampleState.QUARANTINED, ExampleState.DUPLICATE, ExampleState.LEFT_OUT, ExampleState.DISCARDED)


def data_words(client: Client, pipelines: Sequence[Pipeline], month: Month) -> dict[int, tuple[str, ...]]:
    """{pipeline: its sentences}."""
    inside = {"created_at__gte": month.begin, "created_at__lt": month.end}
    batches = Batch.objects.filter(pipeline__in=pipelines, is_complete=True, **inside)
    rows = Example.objects.filter(pipeline__in=pipelines, batch__in=batches).order_by().values_list("pipeline")
    counted = rows.annotate(added=Count("pk"), aside=Count("pk", Q(state__in=SET_ASIDE)))
    sent = {pk: (added, aside) for pk, added, aside in counted}
    seen_by = tuple(_seen_by(client, month))
    return {row.pk: (*_sent_in(*sent.get(row.pk, (0, 0))), *seen_by, _bodies(row)) for row in pipelines}


def _sent_in(added: int, aside: int) -> Iterator[str]:
    yield ngettext("%(n)s example was sent in.", "%(n)s examples were sent in.", added) % {"n": added}
    if aside:
        yield (
            ngettext("%(n)s of them was set aside by the checks.", "%(n)s of them were set aside by the checks.", aside)
            % {"n": aside}
        )


def _seen_by(client: Client, month: Month) -> Iterator[str]:
    """What holds for every pipeline of the client."""
    services = _services(client, month)
    yield from _trained_where(services)
    hosts = Host.objects.filter(client=client, is_enabled=True).count()
    yield ngettext("The model runs on %(n)s server.", "The model runs on %(n)s servers.", hosts) % {"n": hosts}
    yield _judges(client, month, services)


def _trained_where(services: list[str]) -> Iterator[str]:
    if not services:
        yield _("It was used to train your own model only, on computers of your agency.")
        return
    yield _("It was used to train your own model only.")
    yield _("Examples may be sent to the training service that you allowed: %(names)s.") % {
        "names": ", ".join(services)
    }


def _services(client: Client, month: Month) -> list[str]:
    """Training services that were allowed in the month."""
    stood = Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gte=month.begin)
    found = TrainingConsent.objects.filter(stood, client=client, allowed_at__lt=month.end)
    return sorted({f"{one.service} ({urlsplit(one.url).hostname})" for one in found})


def _judges(client: Client, month: Month, services: list[str]) -> str:
    """Judge models that were allowed in the month: test questions and answers may have gone to them."""
    stood = Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gte=month.begin)
    names = JudgeEndpoint.objects.filter(stood, client=client, allowed_at__lt=month.end)
    judges = sorted(set(names.values_list("name", flat=True)))
    if judges:
        shown = _("Test questions and answers may be shown to the judge model that you allowed: %(names)s.")
        return shown % {"names": ", ".join(judges)}
    return _("No judge model outside was shown any of it.") if services else _("Nobody outside was shown any of it.")


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
