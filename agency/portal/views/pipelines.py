"""One pipeline: what is in production, what ran, why nothing started, its data; and a new pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from pydantic import ValidationError

from agency.actor import open_client, open_pipeline
from agency.htmx import go, partials
from agency.portal.context import client_page, pipeline_page, who
from agency.portal.forms.cases import EvalSetForm
from agency.portal.forms.fields import ReasonForm, RetuneForm
from agency.portal.forms.refusals import add_refusals
from agency.portal.forms.runs import PipelineForm, StartForm
from agency.portal.schedule_words import in_words
from pipelines import actions
from pipelines.reports import pipelines as reports
from pipelines.shipping.change_control import closed_now
from tenants import access
from tenants import actions as ground
from tenants.models import Client, Host, Pipeline


def new_pipeline(request: HttpRequest, slug: str) -> HttpResponse:
    client = open_client(request, slug, access.CONFIGURE)
    hosts = list(Host.objects.filter(client=client).values_list("name", flat=True))
    form = PipelineForm(client, hosts, request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = created(client, form, who(request))
        if made is not None:
            messages.success(
                request, _("%(name)s is set up. Add examples and evaluation sets next.") % {"name": made.name}
            )
            return go(request, reverse("pipeline", args=[slug, made.slug]))
    return client_page(request, client, "portal/new_pipeline.html", 422 if form.errors else 200, form=form)


def created(client: Client, form: PipelineForm, by: str) -> Pipeline | None:
    """The pipeline as typed; None, with sentences in the form, where it cannot work so."""
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
    set_form = EvalSetForm(row.settings.criteria.output)
    shown: dict[str, Any] = {"start_form": StartForm(), "set_form": set_form} | forms
    page = reports.pipeline_page(row, timezone.now())
    schedule = row.settings.triggers.schedule
    shown |= {"schedule_words": in_words(schedule, row.client.timezone) if schedule else ""}
    shown |= {"held_back": closed_now(row, timezone.now())}
    return pipeline_page(request, row, "portal/pipeline.html", status, page=page, **shown)


@dataclass(frozen=True)
class Switch:
    """What the dialog says, and the act behind it."""

    button: str | Promise
    says: str | Promise
    done: str | Promise
    act: Callable[..., None]


SWITCHES = {
    "pause": Switch(
        gettext_lazy("Pause"),
        gettext_lazy("No run starts, neither by itself nor by hand, until somebody resumes. A live run goes on."),
        gettext_lazy("%(name)s is paused."),
        actions.pause,
    ),
    "resume": Switch(
        gettext_lazy("Resume"),
        gettext_lazy("Triggers are looked at again at once: what fell due meanwhile starts one run."),
        gettext_lazy("%(name)s goes on."),
        actions.resume,
    ),
}


@partials(dialog_body="portal/_pause.html")
def pausing(request: HttpRequest, slug: str, pipeline_slug: str, name: str) -> HttpResponse:
    """Asks on GET and acts on POST, as for a run's decisions."""
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    form, switch = ReasonForm(request.POST or None), SWITCHES[name]
    if request.method == "POST" and form.is_valid():
        try:
            switch.act(row, actor=who(request), reason=form.cleaned_data["reason"], now=timezone.now())
            messages.success(request, str(switch.done) % {"name": row.name})
            return go(request, reverse("pipeline", args=[slug, pipeline_slug]))
        except actions.ActionRefused as refused:
            form.add_error(None, str(refused))
    return pipeline_page(
        request, row, "portal/pause.html", 422 if form.errors else 200, form=form, switch=switch, switch_name=name
    )


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
def upload_set(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    form = EvalSetForm(row.settings.criteria.output, request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, row, 422, set_form=form)
    given = form.cleaned_data
    note = given["note"] or str(given["file"].name)[:200]
    try:
        made = actions.put_set(row, given["kind"], form.cases, actor=who(request), note=note, now=timezone.now())
    except actions.ActionRefused as refused:
        form.add_error("file", str(refused))
        return _page(request, row, 422, set_form=form)
    messages.success(
        request,
        _("Version %(version)s of this set holds %(size)s cases.") % {"size": made.size, "version": made.version},
    )
    return go(request, reverse("eval-set", args=[slug, pipeline_slug, made.kind]))
