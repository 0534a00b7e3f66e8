"""Step 4 of the wizard: a file of examples, looked at, imported, and a part of it held out for judging."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.htmx import go
from agency.portal.context import pipeline_page, who
from agency.portal.forms.imports import HoldOutForm, MappingForm, UploadForm
from agency.portal.views.data.uploads import imported, read_in_words
from pipelines import actions
from pipelines.actions import eval_sets, imports
from pipelines.imports import BadFile, Mapping
from pipelines.models import Batch
from pipelines.records.files import mapping_of
from pipelines.reports.data.imports import preview
from pipelines.reports.onboarding import progress
from tenants import access
from tenants.models import Pipeline

SAMPLES = {
    "label": '{"input": "Where is my parcel?", "output": "delivery"}',
    "json": '{"input": "Two oak shelves, please.", "output": "{\\"product\\": \\"shelf\\", \\"amount\\": \\"2\\"}"}',
    "text": '{"input": "Do you open on Sundays?", "output": "We are open from Monday to Saturday, 9 to 19 h."}',
}


def data(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    draft = _draft(row)
    if request.method != "POST":
        return _page(request, row, draft)
    match request.POST.get("act"), draft:
        case "hold-out", _:
            return _held_out(request, row)
        case "discard", Batch():
            imports.discard_draft(draft)
            return go(request, request.path)
        case "import" | "look" as act, Batch():
            return _read(request, draft, is_final=act == "import")
    return _sent(request, row)


def _draft(row: Pipeline) -> Batch | None:
    """The file that was sent last and not yet imported: it is kept, so that nobody sends it twice."""
    unread = Batch.objects.filter(pipeline=row, is_complete=False, due_at=None).exclude(file_digest="")
    found = unread.select_related("origin").order_by("-pk").first()
    if found is not None:
        found.pipeline = row
    return found


def _sent(request: HttpRequest, row: Pipeline) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, row, _draft(row), 422, upload_form=form)
    file = form.cleaned_data["file"]
    said: dict[str, Any] = {"actor": who(request), "now": timezone.now()}
    try:
        imports.stage_file(row, "upload", str(file.name), file.chunks(1 << 20), **said)
    except actions.ActionRefused as refused:
        form.add_error("file", str(refused))
        return _page(request, row, _draft(row), 422, upload_form=form)
    return go(request, request.path)


def _read(request: HttpRequest, draft: Batch, is_final: bool) -> HttpResponse:
    form = MappingForm(request.POST)
    mapping = form.mapping()
    if mapping is None or not is_final:
        return _page(
            request, draft.pipeline, draft, 200 if mapping else 422, form if mapping is None else None, mapping
        )
    try:
        batch = imported(draft, mapping)
    except (BadFile, actions.ActionRefused) as refused:
        messages.error(request, str(refused))
        return _page(request, draft.pipeline, draft, 422, mapping=mapping)
    if batch.is_complete:
        messages.success(request, read_in_words(batch))
    return go(request, request.path)


def _held_out(request: HttpRequest, row: Pipeline) -> HttpResponse:
    form = HoldOutForm(request.POST)
    if form.is_valid():
        share, seed = form.cleaned_data["share"], form.cleaned_data["seed"]
        try:
            made = eval_sets.hold_out(row, share=share, seed=seed, actor=who(request), now=timezone.now())
            messages.success(
                request, _("%(size)s cases are held out: they judge, and never train.") % {"size": made.size}
            )
            return go(request, reverse("wizard-run", args=[row.client.slug, row.slug]))
        except actions.ActionRefused as refused:
            form.add_error(None, str(refused))
    return _page(request, row, _draft(row), 422, hold_form=form)


def _page(
    request: HttpRequest,
    row: Pipeline,
    draft: Batch | None,
    status: int = 200,
    form: MappingForm | None = None,
    mapping: Mapping | None = None,
    **forms: Any,
) -> HttpResponse:
    output = row.settings.criteria.output.kind
    given: dict[str, Any] = {"upload_form": UploadForm(), "hold_form": HoldOutForm()} | forms
    given |= {"step": "data", "progress": progress(row.client, row), "sample": SAMPLES[output], "output": output}
    if draft is not None:
        shown = preview(draft, mapping or mapping_of(draft))
        given |= {"batch": draft, "shown": shown, "form": form or MappingForm.of(shown)}
    return pipeline_page(request, row, "portal/onboarding/data.html", status, **given)
