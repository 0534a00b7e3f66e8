"""The data of a pipeline: uploads, sources, datasets; one source; what a dataset holds and how it differs."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from agency.actor import open_pipeline
from agency.htmx import go, partials
from agency.portal.context import pipeline_page, who
from agency.portal.forms.fields import ReasonForm
from agency.portal.forms.imports import HoldOutForm, SourceForm, UploadForm
from agency.portal.paging import number_in, paged
from pipelines import actions
from pipelines.actions import eval_sets, sources
from pipelines.models import Batch, DatasetVersion, Source
from pipelines.reports.data.difference import difference
from pipelines.reports.data.overview import datasets, source_lines
from pipelines.reports.data.provenance import provenance
from tenants import access
from tenants.models import Pipeline

UPLOADS_A_PAGE = 15


def data(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    return data_page(request, open_pipeline(request, slug, pipeline_slug, access.VIEW), UploadForm())


def data_page(
    request: HttpRequest, row: Pipeline, form: UploadForm, status: int = 200, hold_form: HoldOutForm | None = None
) -> HttpResponse:
    uploads = Batch.objects.filter(pipeline=row).select_related("origin")
    given: dict[str, Any] = {
        "page": paged(request, uploads, UPLOADS_A_PAGE),
        "sources": source_lines(row),
        "datasets": datasets(row),
    }
    given |= {"upload_form": form, "hold_form": hold_form or HoldOutForm()}
    return pipeline_page(request, row, "portal/data/data.html", status, **given)


@require_POST
def hold_out(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Part of the new rows become cases of the held-out set."""
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    form = HoldOutForm(request.POST)
    if not form.is_valid():
        return data_page(request, row, UploadForm(), 422, hold_form=form)
    share, seed = form.cleaned_data["share"], form.cleaned_data["seed"]
    try:
        made = eval_sets.hold_out(row, share=share, seed=seed, actor=who(request), now=timezone.now())
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return data_page(request, row, UploadForm(), 422, hold_form=form)
    words = {"size": made.size, "version": made.version}
    messages.success(request, _("The held-out set has %(size)s cases now (version %(version)s).") % words)
    return go(request, reverse("data", args=[slug, pipeline_slug]))


def source(request: HttpRequest, slug: str, pipeline_slug: str, source: int) -> HttpResponse:
    verb = access.CONFIGURE if request.method == "POST" else access.VIEW
    row = open_pipeline(request, slug, pipeline_slug, verb)
    found = _source(row, source)
    form = SourceForm(request.POST) if request.method == "POST" else SourceForm.of(found)
    if request.method == "POST" and form.is_valid():
        given = {"trust": form.cleaned_data["trust"], "max_share": form.cleaned_data["max_share"]}
        sources.change_source(found, **given, actor=who(request), now=timezone.now())
        messages.success(request, _("Source %(name)s is changed.") % {"name": found.name})
        return go(request, request.path)
    line = next(line for line in source_lines(row) if line.source.pk == found.pk)
    given = {"line": line, "form": form, "provenance": provenance(found)}
    return pipeline_page(request, row, "portal/data/source.html", 422 if form.errors else 200, **given)


@partials(dialog_body="portal/data/_withdraw.html")
def withdraw(request: HttpRequest, slug: str, pipeline_slug: str, kind: str, pk: int) -> HttpResponse:
    """Asks on GET: what has learnt from it. Acts on POST: withdraws, or brings back what is withdrawn."""
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    what = _source(row, pk) if kind == "source" else _upload(row, pk)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _done(request, what, form):
        return go(request, _url(row, what))
    given = {"what": what, "kind": kind, "form": form, "provenance": provenance(what), "back": _url(row, what)}
    return pipeline_page(request, row, "portal/data/withdraw.html", 422 if form.errors else 200, **given)


def _done(request: HttpRequest, what: Batch | Source, form: ReasonForm) -> bool:
    is_back = what.withdrawn_at is not None
    act = sources.bring_back if is_back else sources.withdraw
    try:
        n = act(what, actor=who(request), reason=form.cleaned_data["reason"], now=timezone.now())
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return False
    said = _("%(n)s rows are as they were before.") if is_back else _("%(n)s rows train no more.")
    messages.success(request, said % {"n": n})
    return True


def dataset(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    """One dataset beside another: `?against=` a run's number, else what it grew from."""
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    found = _dataset(row, number)
    wanted = number_in(request.GET.get("against", ""))
    other = found.parent if wanted is None else _dataset(row, wanted)
    given = {"dataset": found, "other": other, "difference": difference(found, other), "datasets": datasets(row)}
    return pipeline_page(request, row, "portal/data/dataset.html", 200, **given)


def _dataset(row: Pipeline, number: int) -> DatasetVersion:
    found = DatasetVersion.objects.filter(pipeline=row, run__number=number).select_related("run", "parent__run").first()
    if found is None:
        raise Http404
    return found


def _source(row: Pipeline, pk: int) -> Source:
    found = Source.objects.filter(pipeline=row, pk=pk).first()
    if found is None:
        raise Http404
    return found


def _upload(row: Pipeline, pk: int) -> Batch:
    found = Batch.objects.filter(pipeline=row, pk=pk).first()
    if found is None:
        raise Http404
    return found


def _url(row: Pipeline, what: Batch | Source) -> str:
    name = "one-upload" if isinstance(what, Batch) else "source"
    return reverse(name, args=[row.client.slug, row.slug, what.pk])
