"""How every page of a client's report is made: in its language and time zone, under its agency's brand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone, translation

from pipelines.reports.client import ClientReport, Month, client_report, pipeline_report, read_month
from pipelines.reports.client.examples import Example, examples_of
from pipelines.reports.client.value import value_figures
from tenants import sharing
from tenants.models import Brand, Client, Pipeline


@dataclass(frozen=True)
class Look:
    """What stands around a report: the agency's name, logo, colour, footer, and whom to call."""

    name: str
    logo_url: str
    colour: str
    footer: str
    contact: str

    @classmethod
    def of(cls, client: Client, brand: Brand) -> Look:
        contact = client.contact or brand.contact
        return cls(brand.name or client.agency.name, brand.logo_url, brand.colour, brand.footer, contact)


@dataclass(frozen=True)
class Reader:
    """Who reads: `is_public` without an account. `home` leads to the client's whole report, empty where it may not."""

    is_public: bool
    home: str
    is_staff: bool = False

    def page_of(self, slug: str) -> str:
        """The address of one pipeline's part."""
        return f"{self.home}{slug}/" if self.home else ""


def page(request: HttpRequest, client: Client, pipeline: Pipeline | None, reader: Reader, **more: Any) -> HttpResponse:
    """Rendered here and not later: the language must still be the client's."""
    request.LANGUAGE_CODE = client.language
    month = read_month(request.GET.get("month", ""), timezone.now(), client.zone)
    with translation.override(client.language), timezone.override(client.zone):
        given = values(client, pipeline, month, reader)
        response = TemplateResponse(request, "reports/report.html", given | more).render()
    response["Content-Language"] = client.language
    return private(response)


def values(client: Client, pipeline: Pipeline | None, month: Month, reader: Reader) -> dict[str, Any]:
    """What a report's template is given, in the language and time zone that are active."""
    now = timezone.now()
    report = pipeline_report(pipeline, now, month) if pipeline else client_report(client, now, month)
    given: dict[str, Any] = {"client": client, "report": report, "reader": reader, "pipeline": pipeline}
    given |= {"look": Look.of(client, sharing.brand_of(client.agency_id)), "examples": _examples(report, reader)}
    return given | {"value": () if pipeline else value_figures(client, month)}


def _examples(report: ClientReport, reader: Reader) -> tuple[Example, ...]:
    """Of the newest change, where the report is about one pipeline."""
    changes = report.pipelines[0].changes if len(report.pipelines) == 1 else ()
    return examples_of(changes[0].version, reader.is_public) if changes else ()


def private(response: HttpResponse) -> HttpResponse:
    """Nobody keeps it, finds it by searching, or learns its address from a link that is followed."""
    response["Cache-Control"] = "no-store"
    response["X-Robots-Tag"] = "noindex, nofollow"
    response["Referrer-Policy"] = "no-referrer"
    return response
