"""The comparison of a run: regressions first, each cell leading to its case."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse

from agency.actor import open_pipeline
from agency.htmx import partials
from agency.portal.context import pipeline_page
from agency.portal.paging import paged
from pipelines.artifacts import ArtifactDamaged, ArtifactMissing
from pipelines.models import Run, Scorecard
from pipelines.reports.judging.comparison import Wanted, case_of, comparison, with_questions
from pipelines.reports.judging.latency import answer_times
from pipelines.reports.judging.suspects import suspects
from pipelines.reports.scorecards import measured
from tenants import access
from tenants.models import Pipeline

CASES_A_PAGE = 25


@partials(lines="portal/judging/_cases.html")
def compare(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    run, card = _measured(row, number)
    wanted = Wanted(**{name: request.GET.get(name, "") for name in ("set", "change", "label", "q")})
    found = comparison(card, wanted)
    page = paged(request, found.lines, CASES_A_PAGE)
    page.object_list = with_questions(card, list(page.object_list))
    given = {"found": found, "page": page, "wanted": wanted, "card": card, "measured": measured(card)}
    times = answer_times(card)
    return pipeline_page(request, row, "portal/judging/comparison.html", 200, run=run, times=times, **given)


def case(request: HttpRequest, slug: str, pipeline_slug: str, number: int, kind: str) -> HttpResponse:
    """`?case=` is its id, which may hold what no path can."""
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    run, card = _measured(row, number)
    try:
        line = case_of(card, kind, request.GET.get("case", ""))
    except (ArtifactMissing, ArtifactDamaged) as problem:
        return pipeline_page(request, row, "portal/judging/no_answers.html", run=run, card=card, problem=problem)
    if line is None:
        raise Http404
    near = suspects(card.version, line) if line.change in ("lost", "wrong", "flaky") else ()
    return pipeline_page(request, row, "portal/judging/case.html", run=run, line=line, card=card, suspects=near)


def _measured(pipeline: Pipeline, number: int) -> tuple[Run, Scorecard]:
    run = Run.objects.filter(pipeline=pipeline, number=number).first()
    related = ("version__dataset", "production")
    card = Scorecard.objects.filter(run=run).select_related(*related).first() if run else None
    if run is None or card is None:
        raise Http404
    return run, card
