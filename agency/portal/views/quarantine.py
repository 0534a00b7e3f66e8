"""Rows that broke a rule: the rule, where, the twin; released or discarded by a person with a reason."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agency.actor import open_pipeline
from agency.htmx import go
from agency.portal.context import pipeline_page, who
from agency.portal.forms.fields import ReasonForm
from agency.portal.paging import paged
from pipelines import actions
from pipelines.reports.quarantine import rows_held_back, rules
from tenants import access
from tenants.models import Pipeline

ROWS_A_PAGE = 25
ACTS = {"release": actions.release_rows, "discard": actions.discard_rows}


def quarantine(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    if request.method == "POST":
        return _decide(request, open_pipeline(request, slug, pipeline_slug, access.OPERATE))
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    return _page(request, row, ReasonForm())


def _page(request: HttpRequest, row: Pipeline, form: ReasonForm, status: int = 200) -> HttpResponse:
    wanted = (request.GET.get("rule", ""), request.GET.get("state", ""))
    page = paged(request, rows_held_back(row, *wanted), ROWS_A_PAGE)
    given = {"page": page, "rules": rules(row), "rule": wanted[0], "state": wanted[1], "form": form}
    return pipeline_page(
        request, row, "portal/quarantine.html", status, **given, chosen=set(request.POST.getlist("row"))
    )


def _decide(request: HttpRequest, row: Pipeline) -> HttpResponse:
    form = ReasonForm(request.POST)
    ids = [int(value) for value in request.POST.getlist("row") if value.isdigit()]
    act = ACTS.get(request.POST.get("act", ""))
    if not ids or act is None:
        form.add_error(None, _("Choose at least one row, then release or discard."))
    if not form.is_valid() or act is None:
        return _page(request, row, form, 422)
    changed = act(row, ids=ids, actor=who(request), reason=form.cleaned_data["reason"], now=timezone.now())
    messages.success(request, _said(changed, len(ids)))
    return go(request, reverse("quarantine", args=[row.client.slug, row.slug]))


def _said(changed: int, asked: int) -> str:
    said = ngettext("%(n)s row changed.", "%(n)s rows changed.", changed) % {"n": changed}
    if changed < asked:
        said += " " + _("%(n)s stay as they were: malformed rows and rows of an evaluation set never train.") % {
            "n": asked - changed
        }
    return said
