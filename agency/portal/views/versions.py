"""The versions of a pipeline, the card of one, and the way back to any of them."""

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
from agency.portal.forms.fields import ReasonForm
from pipelines import actions
from pipelines.cards import version_card, version_yaml
from pipelines.models import ModelVersion, Scorecard
from pipelines.reports.changes.passport import passport
from pipelines.reports.evaluation.hops import hops_of, parity_of
from pipelines.reports.pipelines import version_lines
from pipelines.reports.scorecards import measured
from pipelines.reports.versions import restorable, way_back
from tenants import access
from tenants.models import Pipeline

# The card's own sections show these; golden answers are for machines to compare.
SHOWN_ELSEWHERE = {"base", "golden_answers", "parity"}


def versions(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    lines = version_lines(row)
    return pipeline_page(request, row, "portal/versions.html", lines=lines, obstacles=restorable(row, lines))


@partials(hops="portal/_hops.html")
def version(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    found = find_version(row, number)
    card = version_card(found)
    scores = measured(Scorecard.objects.filter(version=found).first())
    given = {"measured": scores, "way_back": way_back(row, found)}
    shown = {"hops": hops_of(found), "parity": parity_of(found), "version": found, "card": card}
    facts = {name: value for name, value in card["facts"].items() if name not in SHOWN_ELSEWHERE and value}
    return pipeline_page(request, row, "portal/version.html", 200, facts=facts, **given, **shown)


@require_POST
def measure_hops(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    found = find_version(row, number)
    try:
        actions.measure_hops(found, actor=who(request), now=timezone.now())
    except actions.ActionRefused as refused:
        messages.error(request, str(refused))
    return go(request, reverse("version", args=[slug, pipeline_slug, number]) + "#hops")


def version_file(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    """The card as version.yaml."""
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    found = find_version(row, number)
    name = f'attachment; filename="{slug}-{pipeline_slug}-{found.label}.yaml"'
    return HttpResponse(version_yaml(found), content_type="application/yaml", headers={"Content-Disposition": name})


def passport_file(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    """The facts of the version as a signed file."""
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    found = find_version(row, number)
    name = f'attachment; filename="{slug}-{pipeline_slug}-{found.label}.passport.json"'
    text = passport(found, timezone.now())
    return HttpResponse(text, content_type="application/json", headers={"Content-Disposition": name})


@partials(dialog_body="portal/_roll_back.html")
def roll_back(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    """Asks on GET: what moves, who is told, why it cannot be. Acts on POST."""
    row = open_pipeline(request, slug, pipeline_slug, access.ROLL_BACK)
    found = find_version(row, number)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _ordered(request, row, found, form):
        return go(request, reverse("pipeline", args=[slug, pipeline_slug]))
    status = 422 if form.errors else 200
    given = {"version": found, "form": form, "way_back": way_back(row, found)}
    return pipeline_page(request, row, "portal/roll_back.html", status, **given)


def _ordered(request: HttpRequest, row: Pipeline, to: ModelVersion, form: ReasonForm) -> bool:
    reason = form.cleaned_data["reason"]
    try:
        made = actions.roll_back(row, to=to, actor=who(request), reason=reason, now=timezone.now())
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return False
    if made.flipped_at is None:
        said = _("%(label)s is loaded and asked on its hosts; as soon as it answers, it takes all the traffic.")
    else:
        said = _("All traffic goes to %(label)s. Hosts are being pointed back.")
    messages.success(request, said % {"label": to.label})
    return True


def find_version(pipeline: Pipeline, number: int) -> ModelVersion:
    related = ("run__revision", "pipeline", "client", "dataset")
    found = ModelVersion.objects.filter(pipeline=pipeline, number=number).select_related(*related).first()
    if found is None:
        raise Http404
    return found
