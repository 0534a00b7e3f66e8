"""The gate log, the rollback log and the audit of the whole agency; their filters live in the address."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from agency.actor import open_agency
from agency.htmx import partials
from agency.portal.csv_file import csv_file
from agency.portal.paging import paged_log
from pipelines.domain.verdicts import Verdict
from pipelines.reports.logs import (
    AGENCY_ITSELF,
    LogFilter,
    audit_log,
    audit_verbs,
    gate_log,
    gate_names,
    gate_table,
    rollback_log,
)
from tenants import access
from tenants.models import Client, Pipeline

LINES_A_PAGE = 40
PHASES = ("canary", "monitor", "person")
EFFECTS = ("block", "flag", "warn", "shadow", "waived")


def _wanted(request: HttpRequest) -> LogFilter:
    names = ("client", "verdict", "gate", "phase", "actor", "verb", "pipeline", "effect")
    texts = {name: request.GET.get(name, "").replace("\x00", "").strip() for name in names}
    return LogFilter(**texts, since=_day(request, "since"), until=_day(request, "until"))


def _day(request: HttpRequest, name: str) -> date | None:
    """A day that cannot be read narrows nothing."""
    try:
        return date.fromisoformat(request.GET.get(name, ""))
    except ValueError:
        return None


def _clients() -> Iterable[tuple[str, str]]:
    """(short name, name) of every client, for the filter."""
    return Client.objects.values_list("slug", "name")


@partials(lines="portal/_gates.html")
def gates(request: HttpRequest) -> HttpResponse:
    open_agency(request)
    wanted = _wanted(request)
    pipelines = Pipeline.objects.order_by("slug").values_list("slug", flat=True).distinct()
    choices: dict[str, Any] = {"clients": _clients(), "verdicts": list(Verdict), "names": gate_names()}
    choices |= {"pipelines": pipelines, "effects": EFFECTS}
    given = {"page": paged_log(request, gate_log(wanted), LINES_A_PAGE), "wanted": wanted} | choices
    return TemplateResponse(request, "portal/gates.html", given)


def gates_file(request: HttpRequest) -> HttpResponse:
    """The same lines as a CSV file, all pages of them."""
    open_agency(request)
    return csv_file("gate-log.csv", gate_table(gate_log(_wanted(request))))


@partials(lines="portal/_rollbacks.html")
def rollbacks(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request)
    wanted = _wanted(request)
    given = {"page": paged_log(request, rollback_log(wanted), LINES_A_PAGE), "wanted": wanted}
    given |= {"clients": _clients(), "phases": PHASES, "may_operate": actor.may(access.OPERATE)}
    return TemplateResponse(request, "portal/rollbacks.html", given)


@partials(lines="portal/_audit.html")
def agency_audit(request: HttpRequest) -> HttpResponse:
    """The acts in the agency itself, which belong to no client, and those at its clients."""
    open_agency(request, access.CONFIGURE)
    wanted = _wanted(request)
    given = {"page": paged_log(request, audit_log(wanted), LINES_A_PAGE), "wanted": wanted, "with_client": True}
    choices = {"clients": _clients(), "verbs": audit_verbs(), "agency_itself": AGENCY_ITSELF}
    return TemplateResponse(request, "portal/agency_audit.html", given | choices)
