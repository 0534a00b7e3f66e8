"""What a month's work is worth, client by client; the agency's own figures; a client's usage and its CSV."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_agency, open_client
from agency.htmx import go, partials
from agency.portal.context import client_page, who
from agency.portal.csv_file import csv_file
from agency.portal.paging import paged
from agency.portal.views.value.forms import IssueForm, TermsForm
from pipelines.reports.client import Month, month_of, read_month
from pipelines.reports.value import Work, usage_lines, work_by_client, work_of
from tenants import access, billing
from tenants.billing import UsageLine
from tenants.models import Agency, Client, UsageIssue, ValueTerms

LINES_A_PAGE = 50
ZONE = ZoneInfo("UTC")  # One border for all clients, so that their months add up.


def _month(request: HttpRequest) -> Month:
    return read_month(request.GET.get("month", ""), timezone.now(), ZONE)


def _around(month: Month) -> dict[str, Any]:
    today = month_of(timezone.now().astimezone(UTC), ZONE)
    return {"month": month, "earlier": month.previous, "later": month.next if month < today else None}


@partials(value_card="portal/value/_card.html")
def value(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request)
    month, terms = _month(request), billing.terms_of(actor.agency_id or 0)
    found = work_by_client(month)
    page = paged(request, Client.objects.all(), LINES_A_PAGE)
    lines = [(client, _figures(found.get(client.pk, Work()), terms)) for client in page]
    total = _figures(Work.together(found.values()), terms)
    given = {"page": page, "lines": lines, "total": total, "terms": terms} | _around(month)
    given["may_administer"] = actor.may(access.ADMINISTER)
    return TemplateResponse(request, "portal/value/value.html", given)


def _figures(work: Work, terms: ValueTerms) -> dict[str, Any]:
    names = ("runs", "promoted", "blocked", "rolled_back", "compute_hours")
    found: dict[str, Any] = {name: getattr(work, name) for name in names}
    return found | {"hours_saved": work.hours_saved(terms), "cost": work.cost(terms)}


def terms(request: HttpRequest) -> HttpResponse:
    """Minutes that each step would take a person, prices, and what clients see."""
    actor = open_agency(request, access.ADMINISTER)
    agency = Agency.objects.get(pk=actor.agency_id or 0)
    held = billing.terms_of(agency.pk)
    form = TermsForm(held, request.POST) if request.method == "POST" else TermsForm(held)
    if request.method == "POST" and form.is_valid():
        billing.change_terms(agency, form.columns, who(request), timezone.now())
        messages.success(request, _("Saved. Months that were issued stay as they are."))
        return go(request, reverse("value"))
    return TemplateResponse(request, "portal/value/terms.html", {"form": form}, status=422 if form.errors else 200)


def usage(request: HttpRequest, slug: str) -> HttpResponse:
    """A client's month as it would be charged now, and every issue of it; an owner issues it."""
    row = open_client(request, slug, access.ADMINISTER if request.method == "POST" else access.VIEW)
    month, held = _month(request), billing.terms_of(row.agency_id)
    lines = usage_lines(work_of(row, month), held)
    form = IssueForm(request.POST) if request.method == "POST" else IssueForm()
    is_over = month.end <= timezone.now()
    if request.method == "POST" and form.is_valid() and _issued(request, row, month, lines, form):
        return go(request, f"{reverse('usage', args=[slug])}?month={month}")
    issues = UsageIssue.objects.filter(client=row, month=str(month))
    given = {"lines": lines, "total": _total(lines), "terms": held, "issues": issues, "form": form, "is_over": is_over}
    status = 422 if form.errors else 200
    return client_page(request, row, "portal/value/usage.html", status, **given, **_around(month))


def _total(lines: list[UsageLine]) -> str:
    return f"{sum((Decimal(line.amount) for line in lines), Decimal()):f}"


def _issued(request: HttpRequest, row: Client, month: Month, lines: list[UsageLine], form: IssueForm) -> bool:
    if month.end > timezone.now():
        form.add_error(None, _("The month is not over: it can be issued from its last day on."))
        return False
    said: dict[str, Any] = {"actor": who(request), "now": timezone.now()}
    said["currency"] = billing.terms_of(row.agency_id).currency
    try:
        made = billing.issue(row, str(month), lines, reason=form.cleaned_data["reason"], **said)
    except billing.IssueRefused as refused:
        form.add_error("reason", str(refused))
        return False
    messages.success(request, _("Issued as number %(n)s. It never changes now.") % {"n": made.number})
    return True


def usage_file(request: HttpRequest, slug: str) -> HttpResponse:
    """The latest issue of the month, the one of ?issue=, or the draft where there is none."""
    row = open_client(request, slug, access.VIEW)
    month, asked = _month(request), request.GET.get("issue", "")
    issues = UsageIssue.objects.filter(client=row, month=str(month))
    found = (issues.filter(number=int(asked)) if asked.isdecimal() and len(asked) < 5 else issues).first()
    return csv_file(f"usage-{row.slug}-{month}.csv", _table(row, month, found))


HEAD = ("client", "month", "issue", "line", "quantity", "unit", "price", "amount", "currency")


def _table(row: Client, month: Month, issue: UsageIssue | None) -> Iterator[tuple[object, ...]]:
    held = billing.terms_of(row.agency_id)
    drafted = usage_lines(work_of(row, month), held) if issue is None else []
    lines = [UsageLine(**line) for line in issue.lines] if issue else drafted
    label, currency = (str(issue.number), issue.currency) if issue else ("draft", held.currency)
    yield HEAD
    for line in lines:
        yield (row.name, str(month), label, line.line, line.quantity, line.unit, line.price, line.amount, currency)
    yield (row.name, str(month), label, _("Total"), "", "", "", _total(lines), currency)
