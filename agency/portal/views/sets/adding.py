"""Cases that need not be written: stable ones that production answers right, and the starter safety sets."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.portal.context import pipeline_page
from agency.portal.forms.cases import NoteForm, StarterForm
from agency.portal.paging import number_in, paged
from agency.portal.views.sets.pages import Opened, open_set
from pipelines import actions
from pipelines.domain.stability import LARGEST, LEAST_RETRAINS, SMALLEST, balanced
from pipelines.records.starter import starter_cases
from pipelines.reports.evaluation.eval_sets import Candidates, candidates
from tenants import access
from tenants.models.eval_set import EvalKind

USUAL_SIZE = 100
CASES_A_PAGE = 200


def promote(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Held-out cases that production answers right become regression cases; a balanced set of stable ones is ticked."""
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    opened, found = open_set(request, row, EvalKind.REGRESSION), candidates(row)
    form = NoteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return _promoted(request, opened, found, form.cleaned_data["note"])
        except actions.ActionRefused as refused:
            form.add_error(None, str(refused))
    return _page(request, opened, found, form)


def _page(request: HttpRequest, opened: Opened, found: Candidates, form: NoteForm) -> HttpResponse:
    size = _size(request.GET.get("size", ""))
    suggested = balanced(found.histories, size)
    admitted = sum(one.is_admitted for one in found.histories)
    is_wide = request.GET.get("all") == "1"
    rows = [one for one in found.histories if is_wide or one.key in set(suggested)]
    total = (opened.newest.size if opened.newest else 0) + len(suggested)
    given = {
        "opened": opened, "found": found, "form": form, "size": size, "smallest": SMALLEST, "largest": LARGEST,
        "least": LEAST_RETRAINS, "suggested": set(suggested), "admitted": admitted, "is_wide": is_wide, "total": total,
        "page": paged(request, rows, CASES_A_PAGE),
        "block_rate": found.flips.block_rate(total), "block_rate_high": found.flips.block_rate_high(total),
    }  # fmt: skip
    return pipeline_page(request, opened.pipeline, "portal/sets/promote.html", 422 if form.errors else 200, **given)


def _size(text: str) -> int:
    wanted = number_in(text)
    return USUAL_SIZE if wanted is None else min(max(wanted, SMALLEST), LARGEST)


def _promoted(request: HttpRequest, opened: Opened, found: Candidates, note: str) -> HttpResponse:
    right = {one.key: one for one in found.histories}
    chosen = [key for key in request.POST.getlist("case") if key in right]
    if not chosen:
        raise actions.ActionRefused(_("Choose at least one case."))
    made = opened.change(request, actions.Change(_base(request), put=[_case(found, key) for key in chosen]), note)
    return opened.go(request, _("Version %(n)s holds %(size)s cases.") % {"n": made.version, "size": made.size})


def _case(found: Candidates, key: str) -> dict[str, object]:
    case = found.cases[key]
    # The set's name goes before the key: a case of that name may be in the regression set for another question.
    name = f"heldout-{case.key}"[:100]
    return {**case.as_case(), "id": name, "origin": _("production's right answer, from the held-out set")}


def _base(request: HttpRequest) -> int:
    return number_in(request.POST.get("base", "")) or 0


def starter(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """The starter safety set of a language: looked at first, then added to what there is."""
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    opened, output = open_set(request, row, EvalKind.SAFETY), row.settings.criteria.output
    form = StarterForm(request.POST or request.GET or {"language": "en"})
    language = form.cleaned_data["language"] if form.is_valid() else "en"
    cases = starter_cases(language, output)
    if request.method == "POST" and form.is_valid():
        note = _("starter set, %(language)s") % {"language": language}
        try:
            made = opened.change(request, actions.Change(_base(request), put=cases), note)
        except actions.ActionRefused as refused:
            form.add_error(None, str(refused))
        else:
            return opened.go(request, _("Version %(n)s holds %(size)s cases.") % {"n": made.version, "size": made.size})
    status = 422 if form.errors else 200
    return pipeline_page(request, row, "portal/sets/starter.html", status, opened=opened, form=form, cases=cases)
