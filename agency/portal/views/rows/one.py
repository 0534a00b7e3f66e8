"""One row: what is wrong with it, what it collides with, its past; edited, labelled, released or discarded."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.htmx import go
from agency.portal.context import pipeline_page, who
from agency.portal.forms.rows import DecideForm, TextForm
from pipelines import actions
from pipelines.actions.rows import OPEN
from pipelines.models import Example
from pipelines.reports.data.row import neighbours_in_queue, shown_row
from tenants import access
from tenants.models import Pipeline

ACTS = ("release", "discard", "label", "edit")


def row(request: HttpRequest, slug: str, pipeline_slug: str, row: int) -> HttpResponse:
    verb = access.OPERATE if request.method == "POST" else access.VIEW
    pipeline = open_pipeline(request, slug, pipeline_slug, verb)
    found = Example.objects.filter(pipeline=pipeline).select_related(
        "batch", "twin__batch", "judged_in", "dataset__run"
    )
    example = found.filter(pk=row).first()
    if example is None:
        raise Http404
    if request.method == "POST":
        return _decide(request, pipeline, example)
    return _page(request, pipeline, example, DecideForm(pipeline.settings), TextForm(example))


def _page(request: HttpRequest, pipeline: Pipeline, example: Example, form: DecideForm, text: TextForm) -> HttpResponse:
    given: dict[str, Any] = {"shown": shown_row(pipeline, example), "form": form, "text_form": text}
    given["is_open"] = example.state in OPEN
    given["queue"] = "review" if example.state == "review" else "quarantine"
    given["before"], given["after"] = neighbours_in_queue(example)
    status = 422 if request.method == "POST" else 200
    return pipeline_page(request, pipeline, "portal/rows/row.html", status, row=example, **given)


def _decide(request: HttpRequest, pipeline: Pipeline, example: Example) -> HttpResponse:
    form, text = DecideForm(pipeline.settings, request.POST), TextForm(example, request.POST)
    act = request.POST.get("act", "")
    if act not in ACTS:
        form.add_error(None, _("Release, discard, label or edit it."))
    if not form.is_valid() or not text.is_valid():
        return _page(request, pipeline, example, form, text)
    try:
        changed = _act(pipeline, example, act, form, text, who(request))
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return _page(request, pipeline, example, form, text)
    if not changed:
        form.add_error(None, _("This row cannot be changed so: see its state and its rule."))
        return _page(request, pipeline, example, form, text)
    messages.success(request, _("The row is changed. It can be taken back from the list of decisions."))
    _before, after = neighbours_in_queue(example)
    args = [pipeline.client.slug, pipeline.slug]
    queue = "review" if example.state == "review" else "quarantine"
    return go(request, reverse("row", args=[*args, after]) if after else reverse(queue, args=args))


def _act(pipeline: Pipeline, row: Example, act: str, form: DecideForm, text: TextForm, actor: str) -> int:
    said: dict[str, Any] = {"actor": actor, "reason": form.cleaned_data["reason"], "now": timezone.now()}
    match act:
        case "edit":
            return actions.edit_row(pipeline, pk=row.pk, line=text.line(), **said)
        case "label":
            return actions.label_rows(pipeline, ids=[row.pk], label=form.cleaned_data["label"], **said)
        case "release":
            return actions.release_rows(pipeline, ids=[row.pk], **said)
        case _:
            return actions.discard_rows(pipeline, ids=[row.pk], **said)
