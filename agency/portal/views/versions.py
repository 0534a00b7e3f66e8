"""The versions of a pipeline, the card of one, and the way back to any of them."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.htmx import go, partials
from agency.portal.context import pipeline_page, who
from agency.portal.forms.fields import ReasonForm
from pipelines import actions
from pipelines.cards import version_card, version_yaml
from pipelines.models import ModelVersion, Scorecard
from pipelines.reports.pipelines import version_lines
from pipelines.reports.scorecards import measured
from pipelines.reports.versions import restorable, way_back
from tenants import access
from tenants.models import Pipeline

# The card's own sections show these; golden answers are for machines to compare.
SHOWN_ELSEWHERE = {"base", "golden_answers"}


def versions(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    lines = version_lines(row)
    return pipeline_page(request, row, "portal/versions.html", lines=lines, obstacles=restorable(row, lines))


def version(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    found = _version(row, number)
    card = version_card(found)
    given = {"measured": measured(Scorecard.objects.filter(version=found).first()), "way_back": way_back(row, found)}
    facts = {name: value for name, value in card["facts"].items() if name not in SHOWN_ELSEWHERE and value}
    return pipeline_page(request, row, "portal/version.html", 200, version=found, card=card, facts=facts, **given)


def version_file(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    """The card as version.yaml."""
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    found = _version(row, number)
    name = f'attachment; filename="{slug}-{pipeline_slug}-{found.label}.yaml"'
    return HttpResponse(version_yaml(found), content_type="application/yaml", headers={"Content-Disposition": name})


@partials(dialog_body="portal/_roll_back.html")
def roll_back(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    """Asks on GET: what moves, who is told, why it cannot be. Acts on POST."""
    row = open_pipeline(request, slug, pipeline_slug, access.ROLL_BACK)
    found = _version(row, number)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _ordered(request, row, found, form):
        said = _("All traffic goes to %(label)s. Hosts are being pointed back.") % {"label": found.label}
        messages.success(request, said)
        return go(request, reverse("pipeline", args=[slug, pipeline_slug]))
    status = 422 if form.errors else 200
    given = {"version": found, "form": form, "way_back": way_back(row, found)}
    return pipeline_page(request, row, "portal/roll_back.html", status, **given)


def _ordered(request: HttpRequest, row: Pipeline, to: ModelVersion, form: ReasonForm) -> bool:
    reason = form.cleaned_data["reason"]
    try:
        actions.roll_back(row, to=to, actor=who(request), reason=reason, now=timezone.now())
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return False
    return True


def _version(pipeline: Pipeline, number: int) -> ModelVersion:
    related = ("run__revision", "pipeline", "client", "dataset")
    found = ModelVersion.objects.filter(pipeline=pipeline, number=number).select_related(*related).first()
    if found is None:
        raise Http404
    return found
