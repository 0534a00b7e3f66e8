"""Blind A/B review: a person sees two answers without knowing whose they are, and says which is better."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.htmx import go
from agency.portal.context import pipeline_page, who
from pipelines import actions
from pipelines.models import Run
from pipelines.reports.evaluation.blind import chosen, preference, review
from tenants import access
from tenants.models import Pipeline


def blind(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE if request.method == "POST" else access.VIEW)
    run = Run.objects.filter(pipeline=row, number=number).first()
    if run is None:
        raise Http404
    return _vote(request, row, run) if request.method == "POST" else _page(request, row, run)


def _page(request: HttpRequest, row: Pipeline, run: Run, problem: str = "") -> HttpResponse:
    given = {"run": run, "review": review(run, who(request)), "preference": preference(run), "problem": problem}
    return pipeline_page(request, row, "portal/sets/blind.html", 422 if problem else 200, **given)


def _vote(request: HttpRequest, row: Pipeline, run: Run) -> HttpResponse:
    key = request.POST.get("case", "")
    choice = chosen(run, who(request), key, request.POST.get("side", ""))
    if choice is None:
        return _page(request, row, run, _("Say which answer is better, or that they are equally good."))
    if not actions.vote(run, case=key, choice=choice, actor=who(request), now=timezone.now()):
        messages.info(request, _("You have voted on that case already: the first vote stays."))
    return go(request, reverse("blind", args=[row.client.slug, row.slug, run.number]))
