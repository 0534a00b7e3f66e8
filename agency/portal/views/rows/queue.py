"""Quarantine and review queue: rule, offending text and twin; many rows decided at once, each act reversible."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agency.actor import open_pipeline
from agency.htmx import go
from agency.portal.context import pipeline_page, who
from agency.portal.forms.rows import DecideForm
from agency.portal.paging import number_in, paged
from pipelines import actions
from pipelines.models import Example
from pipelines.reports import quarantine as found
from pipelines.reports.data.row import marked_pieces
from tenants import access
from tenants.models import Pipeline

ROWS_A_PAGE = 25
AT_ONCE = 5_000
ACTS = {"release": actions.release_rows, "discard": actions.discard_rows, "label": actions.label_rows}


@dataclass(frozen=True)
class Queue:
    """Which of the two lists, by its address' name."""

    name: str

    def rows(self, pipeline: Pipeline, wanted: found.Wanted) -> QuerySet[Example]:
        listed = found.rows_to_review if self.name == "review" else found.rows_held_back
        return listed(pipeline, wanted)

    def facets(self, pipeline: Pipeline) -> dict[str, Any]:
        states = found.REVIEW if self.name == "review" else found.NAMED
        return {"rules": found.rules(pipeline, states), "sources": found.sources(pipeline, states)}


def quarantine(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    verb = access.OPERATE if request.method == "POST" else access.VIEW
    return _answer(request, open_pipeline(request, slug, pipeline_slug, verb), Queue("quarantine"))


def review(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    verb = access.OPERATE if request.method == "POST" else access.VIEW
    return _answer(request, open_pipeline(request, slug, pipeline_slug, verb), Queue("review"))


def _answer(request: HttpRequest, row: Pipeline, queue: Queue) -> HttpResponse:
    if request.method != "POST":
        return _page(request, row, queue, DecideForm(row.settings))
    if "gather" in request.POST:
        return _gather(request, row)
    return _undo(request, row, queue) if "undo" in request.POST else _decide(request, row, queue)


def _gather(request: HttpRequest, row: Pipeline) -> HttpResponse:
    found = actions.gather_novel(row, actor=who(request), now=timezone.now())
    said = ngettext("%(n)s unfamiliar question from traffic.", "%(n)s unfamiliar questions from traffic.", found)
    none = _("Nothing unfamiliar: in the kept traffic, with at least 100 rows that train to compare with.")
    messages.success(request, said % {"n": found} if found else none)
    return go(request, reverse("review", args=[row.client.slug, row.slug]))


def wanted_in(request: HttpRequest) -> found.Wanted:
    return found.Wanted(**{name: request.GET.get(name, "") for name in found.Wanted.__dataclass_fields__})


def _page(request: HttpRequest, row: Pipeline, queue: Queue, form: DecideForm, status: int = 200) -> HttpResponse:
    wanted = wanted_in(request)
    page = paged(request, queue.rows(row, wanted), ROWS_A_PAGE)
    given = asdict(wanted) | {
        "page": page,
        "at_once": AT_ONCE,
        "form": form,
        "queue": queue.name,
        "decisions": found.decisions(row),
    }
    given |= queue.facets(row) | {"chosen": set(request.POST.getlist("row"))}
    given["pieces"] = {example.pk: marked_pieces(example, row.settings) for example in page}
    return pipeline_page(request, row, "portal/rows/queue.html", status, **given)


def _decide(request: HttpRequest, row: Pipeline, queue: Queue) -> HttpResponse:
    form = DecideForm(row.settings, request.POST)
    ids = [n for n in map(number_in, request.POST.getlist("row")) if n is not None]
    left = 0
    if request.POST.get("every"):
        matching = queue.rows(row, wanted_in(request))
        ids, count = list(matching.values_list("pk", flat=True)[:AT_ONCE]), matching.count()
        left = count - len(ids)
        if request.POST.get("shown") != str(count):
            form.add_error(None, _("The list is another one by now, of %(n)s rows: look again.") % {"n": count})
    act = ACTS.get(request.POST.get("act", ""))
    if not ids or act is None:
        form.add_error(None, _("Choose at least one row, then release, discard or label."))
    if not form.is_valid() or act is None:
        return _page(request, row, queue, form, 422)
    more = {"label": form.cleaned_data["label"]} if act is actions.label_rows else {}
    said = {"actor": who(request), "reason": form.cleaned_data["reason"], "now": timezone.now()}
    try:
        changed = act(row, ids=ids, **more, **said)  # type: ignore[operator]
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return _page(request, row, queue, form, 422)
    messages.success(request, _said(changed, len(ids), left))
    return go(request, request.get_full_path())


def _said(changed: int, asked: int, left: int) -> str:
    said = ngettext("%(n)s row changed.", "%(n)s rows changed.", changed) % {"n": changed}
    if changed < asked:
        kept = _("%(n)s stay as they were: malformed rows, duplicates and rows of an evaluation set never train.")
        said += " " + kept % {"n": asked - changed}
    if left:
        more = ngettext("%(n)s more row matches: decide again.", "%(n)s more rows match: decide again.", left)
        said += " " + more % {"n": left}
    return said


def _undo(request: HttpRequest, row: Pipeline, queue: Queue) -> HttpResponse:
    try:
        back, kept = actions.undo_decision(
            row, decision=number_in(request.POST["undo"]) or 0, actor=who(request), now=timezone.now()
        )
    except actions.ActionRefused as refused:
        messages.error(request, str(refused))
    else:
        said = ngettext("%(n)s row is as before.", "%(n)s rows are as before.", back) % {"n": back}
        if kept:
            said += " " + _("%(n)s stay: they changed or trained meanwhile.") % {"n": kept}
        messages.success(request, said)
    return go(request, reverse(queue.name, args=[row.client.slug, row.slug]))
