"""Beside the settings: the triggers as typed on the last 90 days; how often a healthy model would be taken back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from pydantic import ValidationError

from agency.actor import open_pipeline
from agency.htmx import partials
from agency.portal.context import pipeline_page
from agency.portal.forms.fields import RetuneForm
from agency.portal.forms.refusals import sentence
from agency.portal.forms.settings import nest
from agency.portal.forms.settings_fields import SECTIONS
from pipelines.domain.schedule import BadSchedule
from pipelines.reports.foresight.alarms import alarms
from pipelines.reports.foresight.past import tried
from tenants import access
from tenants.models import Pipeline
from tenants.pipeline_settings import Triggers

FIELDS = {name: make for section in SECTIONS if section.key == "triggers" for name, make in section.fields.items()}


@partials(backtest="portal/judging/_backtest.html")
def backtest(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """The fields of the triggers in the query; without them, the triggers as they are saved."""
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    return pipeline_page(request, row, "portal/judging/backtest.html", **_tried(request, row))


def _tried(request: HttpRequest, row: Pipeline) -> dict[str, Any]:
    try:
        chosen = _typed(request) if any(name in request.GET for name in FIELDS) else row.settings.triggers
        return {"tried": tried(row, chosen, timezone.now())}
    except ValidationError as error:
        return {"error": sentence(dict(error.errors(include_url=False)[0]))}
    except (BadSchedule, forms.ValidationError) as error:
        return {"error": "; ".join(error.messages) if isinstance(error, forms.ValidationError) else str(error)}


def _typed(request: HttpRequest) -> Triggers:
    form = RetuneForm(request.GET)
    form.fields |= {name: make() for name, make in FIELDS.items()}
    if not form.is_valid():
        name, said = next(iter(form.errors.items()))
        raise forms.ValidationError(_("%(field)s: %(why)s") % {"field": form.fields[name].label, "why": said[0]})
    flat = dict(form.cleaned_data)
    if not flat.pop("triggers.has_schedule"):
        flat = {name: value for name, value in flat.items() if not name.startswith("triggers.schedule.")}
    empty = ("triggers.new_examples", "triggers.quality_below")
    body = nest({name: value for name, value in flat.items() if value is not None or name in empty})
    return Triggers.model_validate(body["triggers"])


@partials(alarms="portal/judging/_alarms.html")
def false_alarms(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    found = alarms(row, row.settings, timezone.now())
    return pipeline_page(request, row, "portal/judging/alarms.html", found=found)
