"""One pipeline: what is in production, what ran, why nothing started, its data; and a new pipeline."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from pydantic import ValidationError

from agency.actor import open_client, open_pipeline
from agency.htmx import go, partials
from agency.portal.context import client_page, pipeline_page, who
from agency.portal.forms.fields import RetuneForm
from agency.portal.forms.refusals import add_refusals
from agency.portal.forms.runs import EvalSetForm, PipelineForm, StartForm, UploadForm, digest_token
from agency.portal.schedule_words import in_words
from pipelines import actions
from pipelines.reports import pipelines as reports
from tenants import access
from tenants import actions as ground
from tenants.models import Client, Host, Pipeline


def new_pipeline(request: HttpRequest, slug: str) -> HttpResponse:
    client = open_client(request, slug, access.CONFIGURE)
    hosts = list(Host.objects.filter(client=client).values_list("name", flat=True))
    form = PipelineForm(client, hosts, request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = _create(client, form, who(request))
        if made is not None:
            messages.success(
                request, _("%(name)s is set up. Add examples and evaluation sets next.") % {"name": made.name}
            )
            return go(request, reverse("pipeline", args=[slug, made.slug]))
    return client_page(request, client, "portal/new_pipeline.html", 422 if form.errors else 200, form=form)


def _create(client: Client, form: PipelineForm, by: str) -> Pipeline | None:
    given = form.cleaned_data
    try:
        return ground.create_pipeline(client, given["name"], given["slug"], form.body(), by, timezone.now())
    except ValidationError as error:
        add_refusals(form, error, {"criteria.output": _output_field(given["preset"])})
        return None


def _output_field(preset: str) -> str:
    return {"classification": "labels", "extraction": "fields_"}.get(preset, "preset")


@partials(live="portal/_pipeline_live.html")
def pipeline(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    return _page(request, row)


def _page(request: HttpRequest, row: Pipeline, status: int = 200, **forms: RetuneForm) -> HttpResponse:
    shown = {"start_form": StartForm(), "upload_form": UploadForm(), "set_form": EvalSetForm()} | forms
    page = reports.pipeline_page(row, timezone.now())
    schedule = row.settings.triggers.schedule
    words = in_words(schedule, row.client.timezone) if schedule else ""
    return pipeline_page(request, row, "portal/pipeline.html", status, page=page, schedule_words=words, **shown)


@require_POST
def start_run(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    form = StartForm(request.POST)
    if not form.is_valid():
        return _page(request, row, 422, start_form=form)
    reason, force = form.cleaned_data["reason"], form.cleaned_data["force"]
    try:
        run = actions.start_run(row, actor=who(request), now=timezone.now(), reason=reason, force=force)
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return _page(request, row, 422, start_form=form)
    return go(request, reverse("run", args=[slug, pipeline_slug, run.number]))


@require_POST
def upload(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """NDJSON rows, streamed from the upload's temporary file."""
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, row, 422, upload_form=form)
    file = form.cleaned_data["file"]
    given = {"token": digest_token(file), "source": str(file.name)[:100]}
    batch = actions.add_examples(row, file, **given, actor=who(request), now=timezone.now())
    said = _("%(rows)s rows read, %(bad)s of them in quarantine.") % {"rows": batch.rows, "bad": batch.quarantined}
    messages.success(request, said)
    return go(request, reverse("pipeline", args=[slug, pipeline_slug]) + "#data")


@require_POST
def upload_set(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    form = EvalSetForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, row, 422, set_form=form)
    kind, cases = form.cleaned_data["kind"], form.cleaned_data["file"]
    made = ground.put_eval_set(row, kind, cases, who(request), timezone.now())
    messages.success(
        request, _("%(size)s cases are version %(version)s of this set.") % {"size": made.size, "version": made.version}
    )
    return go(request, reverse("pipeline", args=[slug, pipeline_slug]) + "#sets")
