"""A model that was trained elsewhere: asks for its file on GET, starts the run on POST."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy

from agency.actor import open_pipeline
from agency.htmx import go
from agency.portal.context import pipeline_page, who
from agency.portal.forms.fields import RetuneForm
from pipelines.actions import ActionRefused
from pipelines.actions.elsewhere import import_model
from tenants import access

CHUNK_BYTES = 1 << 20


class ImportForm(RetuneForm):
    """The file, and why."""

    model = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy("A GGUF, or a tar or zip of an adapter's or a merged model's folder."),
        widget=forms.FileInput(attrs={"accept": ".gguf,.zip,.tar,.gz,.tgz,.xz,.bz2"}),
    )
    reason = forms.CharField(
        label=gettext_lazy("Where it comes from, and why"),
        max_length=500,
        help_text=gettext_lazy("Kept with the version."),
    )
    force = forms.BooleanField(label=gettext_lazy("Even during a cooldown"), required=False)


def bring(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    form = ImportForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file, said = form.cleaned_data["model"], _said(request, form)
        try:
            run = import_model(row, str(file.name), file.chunks(CHUNK_BYTES), now=timezone.now(), **said)
            return go(request, reverse("run", args=[slug, pipeline_slug, run.number]))
        except ActionRefused as refused:
            form.add_error("model", str(refused))
    status = 422 if request.method == "POST" else 200
    return pipeline_page(request, row, "portal/training/import.html", status, form=form)


def _said(request: HttpRequest, form: ImportForm) -> dict[str, Any]:
    return {"actor": who(request), "reason": form.cleaned_data["reason"], "force": form.cleaned_data["force"]}
