"""Somebody complains about an answer: find it, see what taught it, and make it a case that must never break again."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.portal.context import pipeline_page
from agency.portal.forms.cases import CaseForm
from pipelines.actions.eval_sets import newest
from pipelines.reports.data.complaint import LONGEST, Traced, rows_near, trace
from tenants import access
from tenants.models import Pipeline
from tenants.models.eval_set import EvalKind


def complaint(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    text = request.GET.get("q", "").strip()[:LONGEST]
    found = trace(row, text)
    picked = _picked(found, request.GET.get("request", ""))
    given: dict[str, Any] = {"text": text, "found": found, "picked": picked}
    given["form"] = _form(row, picked, text) if text else None
    given["near"] = rows_near(row, picked, text) if text and (picked or not found) else ()
    return pipeline_page(request, row, "portal/rows/complaint.html", **given)


def _picked(found: tuple[Traced, ...], request_id: str) -> Traced | None:
    chosen = [one for one in found if one.exchange.request_id == request_id]
    return next(iter(chosen), found[0] if len(found) == 1 else None)


def _form(row: Pipeline, traced: Traced | None, text: str) -> CaseForm:
    """Sent to the page of the regression set's cases, which keeps what was typed when it refuses."""
    last = newest(row, EvalKind.REGRESSION)
    initial: dict[str, Any] = {"id": "complaint", "input": text, "origin": _("a complaint")}
    if traced is not None:
        messages, request_id = [dict(one) for one in traced.messages], traced.exchange.request_id
        initial |= CaseForm.said(messages) if messages else {"input": ""}
        initial |= {"id": f"complaint-{request_id[:12]}", "expected": traced.right_answer}
        initial["origin"] = _("a complaint about request %(id)s") % {"id": request_id}
    form = CaseForm(EvalKind.REGRESSION, row.settings.criteria.output, initial=initial)
    form.base = last.version if last else 0
    return form
