"""Files in: sent, looked at, imported, undone."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from agency.actor import open_pipeline
from agency.htmx import go, partials
from agency.portal.context import pipeline_page, who
from agency.portal.forms.imports import MappingForm, UploadForm, read_as
from agency.portal.views.data.pages import data_page
from pipelines import actions
from pipelines.actions import imports
from pipelines.imports import BadFile, Mapping
from pipelines.models import Batch
from pipelines.records.files import mapping_of
from pipelines.reports.data.imports import preview
from pipelines.reports.data.provenance import provenance
from tenants import access
from tenants.models import Pipeline

# A file of this size is read while its sender waits: seconds.
AT_ONCE_BYTES = 3_000_000


@require_POST
def upload(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """A file: read at once where its source remembers how, or where nothing is to be asked; else shown first."""
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return data_page(request, row, form, 422)
    file, source = form.cleaned_data["file"], form.cleaned_data["source"]
    try:
        draft = imports.stage_file(
            row, source, str(file.name), file.chunks(1 << 20), actor=who(request), now=timezone.now()
        )
    except actions.ActionRefused as refused:
        form.add_error("source", str(refused))
        return data_page(request, row, form, 422)
    if not form.cleaned_data["look"] and _needs_no_question(draft):
        return _import(request, draft, mapping_of(draft))
    return go(request, _url(draft))


def _needs_no_question(draft: Batch) -> bool:
    """Its source's last file was read so too, or its rows say themselves what is what."""
    shown = preview(draft, mapping_of(draft))
    return not shown.refusal and (bool(draft.reading) or not shown.mapping.names_columns)


def _import(request: HttpRequest, draft: Batch, mapping: Mapping) -> HttpResponse:
    try:
        batch = imported(draft, mapping)
    except (BadFile, actions.ActionRefused) as refused:
        messages.error(request, str(refused))
        return go(request, _url(draft))
    if batch.is_complete:
        messages.success(request, read_in_words(batch))
    return go(request, _url(batch))


def imported(draft: Batch, mapping: Mapping) -> Batch:
    """The upload, read at once where it is small. Raises `BadFile` or `ActionRefused`; the draft is then as it was."""
    batch = imports.start_import(draft, mapping, now=timezone.now(), by_worker=draft.file_bytes > AT_ONCE_BYTES)
    if batch.file_bytes <= AT_ONCE_BYTES:
        imports.read_file(batch.pk, timezone.now)
        batch.refresh_from_db()
    return batch


def read_in_words(batch: Batch) -> str:
    said = {"rows": batch.rows, "bad": batch.quarantined}
    return _("%(rows)s rows read, %(bad)s of them in quarantine.") % said


@partials(reading="portal/data/_reading.html")
def one(request: HttpRequest, slug: str, pipeline_slug: str, upload: int) -> HttpResponse:
    """One upload: how it would be read, how far it is, what became of it."""
    if request.method == "POST":
        batch = _batch(open_pipeline(request, slug, pipeline_slug, access.OPERATE), upload)
        return _decide(request, batch)
    return _page(request, _batch(open_pipeline(request, slug, pipeline_slug, access.VIEW), upload))


def _decide(request: HttpRequest, batch: Batch) -> HttpResponse:
    form, act = MappingForm(request.POST), request.POST.get("act", "")
    mapping = form.mapping()
    if not batch.is_draft or act not in ("look", "import", "discard"):
        return _page(request, batch, status=422)
    if act == "discard":
        return _discard(request, batch)
    if mapping is None:
        return _page(request, batch, form, 422)
    return _import(request, batch, mapping) if act == "import" else _page(request, batch, mapping=mapping)


def _discard(request: HttpRequest, batch: Batch) -> HttpResponse:
    try:
        imports.discard_draft(batch)
    except actions.ActionRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _("The file is forgotten; nothing of it was imported."))
    return go(request, reverse("data", args=[batch.pipeline.client.slug, batch.pipeline.slug]))


def _page(
    request: HttpRequest,
    batch: Batch,
    form: MappingForm | None = None,
    status: int = 200,
    mapping: Mapping | None = None,
) -> HttpResponse:
    given = {"batch": batch, "provenance": provenance(batch), "read_as": read_as(mapping_of(batch))}
    if batch.is_draft:
        shown = preview(batch, mapping or mapping_of(batch))
        given |= {"shown": shown, "form": form or MappingForm.of(shown)}
    return pipeline_page(request, batch.pipeline, "portal/data/upload.html", status, **given)


def _batch(pipeline: Pipeline, pk: int) -> Batch:
    found = Batch.objects.select_related("origin").filter(pipeline=pipeline, pk=pk).first()
    if found is None:
        raise Http404
    found.pipeline = pipeline
    return found


def _url(batch: Batch) -> str:
    return reverse("one-upload", args=[batch.pipeline.client.slug, batch.pipeline.slug, batch.pk])
