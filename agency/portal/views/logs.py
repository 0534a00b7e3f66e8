"""The gate log and the rollback log of the whole agency; their filters live in the address."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from agency.actor import open_agency
from agency.htmx import partials
from agency.portal.paging import paged
from pipelines.domain.verdicts import Verdict
from pipelines.reports.logs import LogFilter, gate_log, gate_names, rollback_log
from tenants.models import Client

LINES_A_PAGE = 40
PHASES = ("canary", "monitor", "person")


def _wanted(request: HttpRequest) -> LogFilter:
    names = ("client", "verdict", "gate", "phase")
    return LogFilter(**{name: request.GET.get(name, "") for name in names})


@partials(lines="portal/_gates.html")
def gates(request: HttpRequest) -> HttpResponse:
    open_agency(request)
    wanted = _wanted(request)
    choices = {"clients": Client.objects.all(), "verdicts": list(Verdict), "names": gate_names()}
    given = {"page": paged(request, gate_log(wanted), LINES_A_PAGE), "wanted": wanted} | choices
    return TemplateResponse(request, "portal/gates.html", given)


@partials(lines="portal/_rollbacks.html")
def rollbacks(request: HttpRequest) -> HttpResponse:
    open_agency(request)
    wanted = _wanted(request)
    given = {"page": paged(request, rollback_log(wanted), LINES_A_PAGE), "wanted": wanted}
    return TemplateResponse(
        request, "portal/rollbacks.html", given | {"clients": Client.objects.all(), "phases": PHASES}
    )
