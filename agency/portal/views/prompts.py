"""A new prompt for a version: asks on GET, starts the run on POST."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from agency.actor import open_pipeline
from agency.htmx import go
from agency.portal.context import pipeline_page, who
from agency.portal.forms.runs import PromptForm
from agency.portal.views.versions import find_version
from pipelines import actions
from pipelines.models import ModelVersion, Run
from tenants import access


def prompt(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    parent = find_version(row, number)
    form = PromptForm(parent, request.POST or None)
    run = _started(request, parent, form) if request.method == "POST" and form.is_valid() else None
    if run is not None:
        return go(request, reverse("run", args=[slug, pipeline_slug, run.number]))
    return pipeline_page(request, row, "portal/prompt.html", 422 if form.errors else 200, version=parent, form=form)


def _started(request: HttpRequest, parent: ModelVersion, form: PromptForm) -> Run | None:
    given = form.cleaned_data
    said = {"actor": who(request), "reason": given["reason"], "now": timezone.now(), "force": given["force"]}
    try:
        asked = actions.read_prompt(given["system"], given["replaces"], form.parameters())
        return actions.start_prompt_run(parent, asked, **said)
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return None
