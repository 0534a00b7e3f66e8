"""A client's timeline: "what changed on Tuesday?"; dates and filters live in the address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, time, timedelta
from itertools import groupby
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.actor import open_client
from agency.htmx import partials
from agency.portal.context import client_page
from agency.portal.csv_file import csv_file
from agency.portal.forms.fields import RetuneForm
from agency.portal.paging import paged
from pipelines.reports.changes.timeline import KINDS, Moment, changed_answers, moments
from tenants import access
from tenants.models import AuditEvent, Client, Pipeline

WEEK = timedelta(days=7)
LINES_A_PAGE = 100
# Subjects as the acts write them: "support run 3", "support r4", "support to v3", "support v3", "support/heldout v2".
RUN, REVISION = re.compile(r"([a-z0-9-]+) run (\d+)"), re.compile(r"([a-z0-9-]+) r(\d+)")
VERSION, EVAL_SET = re.compile(r"([a-z0-9-]+)(?: to)? v(\d+)"), re.compile(r"([a-z0-9-]+)/([a-z]+) v\d+")


class TimelineForm(RetuneForm):
    """Whole days in the client's time zone, both ends included."""

    since = forms.DateField(label=gettext_lazy("From"), widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label=gettext_lazy("To"), widget=forms.DateInput({"type": "date"}))
    kind = forms.ChoiceField(label=gettext_lazy("About"), required=False)
    q = forms.CharField(label=gettext_lazy("Holds"), required=False, max_length=100)

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        choices = [("", _("everything")), *((kind, _(kind)) for kind in KINDS)]
        self.fields["kind"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, object]:
        found = super().clean() or {}
        if "since" in found and "until" in found and found["since"] > found["until"]:
            self.add_error("until", _("The first day must not be after the second."))
        return found

    def between(self, client: Client) -> tuple[datetime, datetime]:
        first, last = self.cleaned_data["since"], self.cleaned_data["until"]
        return datetime.combine(first, time(), client.zone), datetime.combine(last, time.max, client.zone)


def _form(request: HttpRequest, row: Client) -> TimelineForm:
    today = timezone.now().astimezone(row.zone).date()
    given = {name: str(value).replace("\x00", "") for name, value in request.GET.dict().items() if value}
    return TimelineForm({"since": f"{today - WEEK}", "until": f"{today}"} | given)


@partials(lines="portal/changes/_timeline.html")
def timeline(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.VIEW)
    form = _form(request, row)
    if not form.is_valid():
        return client_page(request, row, "portal/changes/timeline.html", 422, form=form)
    since, until = form.between(row)
    found = moments(row, since, until, form.cleaned_data["kind"], form.cleaned_data["q"])
    page = paged(request, found, LINES_A_PAGE)
    asked = {"since": f"{since:%Y-%m-%dT%H:%M}", "at": f"{until:%Y-%m-%dT%H:%M}"}
    given: dict[str, Any] = {"form": form, "page": page, "asked": asked, "count": len(found)}
    given["days"] = list(_days(row, page))
    is_about_versions = form.cleaned_data["kind"] in ("", "versions")
    given["changed"] = changed_answers(row, since, until) if is_about_versions else []
    return client_page(request, row, "portal/changes/timeline.html", **given)


def _days(row: Client, page: Iterable[Moment]) -> Iterator[tuple[object, list[tuple[Moment, str]]]]:
    pipelines = set(Pipeline.objects.filter(client=row).values_list("slug", flat=True))
    for day, group in groupby(page, key=lambda m: m.event.at.astimezone(row.zone).date()):
        yield day, [(moment, place_of(row.slug, moment.event, pipelines)) for moment in group]


def place_of(slug: str, event: AuditEvent, pipelines: set[str]) -> str:
    """The page that an act is about; empty where there is none any more."""
    if event.verb.startswith("host.") and re.fullmatch(r"[-a-zA-Z0-9_]+", event.subject):
        return reverse("host", args=[slug, event.subject])
    for pattern, name in ((RUN, "run"), (EVAL_SET, "eval-set"), (VERSION, "version"), (REVISION, "settings-history")):
        found = pattern.fullmatch(event.subject)
        if found and found[1] in pipelines:
            more = [] if name == "settings-history" else [found[2]]
            return reverse(name, args=[slug, found[1], *more])
    return reverse("pipeline", args=[slug, event.subject]) if event.subject in pipelines else ""


def timeline_file(request: HttpRequest, slug: str) -> HttpResponse:
    """The same lines as a CSV file; for an address that cannot be read the page, which says so."""
    row = open_client(request, slug, access.VIEW)
    form = _form(request, row)
    if not form.is_valid():
        return client_page(request, row, "portal/changes/timeline.html", 422, form=form)
    found = moments(row, *form.between(row), form.cleaned_data["kind"], form.cleaned_data["q"])
    return csv_file(f"timeline-{row.slug}.csv", _table(found))


def _table(found: list[Moment]) -> Iterator[tuple[object, ...]]:
    yield ("at", "about", "actor", "verb", "subject", "reason")
    for moment in found:
        event = moment.event
        said = (event.at.isoformat(), moment.kind, event.actor, event.verb, event.subject)
        yield (*said, str(event.detail.get("reason", "")))
