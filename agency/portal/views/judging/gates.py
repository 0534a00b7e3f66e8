"""The gates of a pipeline: what each does to an equal retrain, and who waived it for how long."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.htmx import go, partials
from agency.portal.context import pipeline_page, who
from agency.portal.forms.fields import ReasonForm
from agency.portal.forms.waivers import WaiverForm
from agency.portal.views.changes.four_eyes import proposed_words
from pipelines import actions
from pipelines.actions.two_people import acts
from pipelines.models import Waiver
from pipelines.reports.judging.odds import gate_odds
from pipelines.reports.judging.waivers import waiver_lines
from tenants import access
from tenants.models import Pipeline
from tenants.people.four_eyes import Topic, asks


def gates(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    return pipeline_page(request, row, "portal/judging/gates.html", waivers=waiver_lines(row, timezone.now()))


@partials(odds="portal/judging/_odds.html")
def odds(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Apart from the pages that show it: thousands of cases take seconds to sum."""
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    return pipeline_page(request, row, "portal/judging/odds.html", found=gate_odds(row, row.settings))


@partials(dialog_body="portal/judging/_waive.html")
def waive(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Asks on GET and acts on POST."""
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    form = WaiverForm(row.settings.gates, request.POST or None, initial={"gate": request.GET.get("gate"), "days": 7})
    if request.method == "POST" and form.is_valid() and _waived(request, row, form):
        return go(request, reverse("pipeline-gates", args=[slug, pipeline_slug]))
    return pipeline_page(request, row, "portal/judging/waive.html", 422 if form.errors else 200, form=form)


def _waived(request: HttpRequest, row: Pipeline, form: WaiverForm) -> bool:
    now, given = timezone.now(), form.cleaned_data
    takes_two = asks(row.client, Topic.THRESHOLDS)
    said = {"actor": who(request), "reason": given["reason"], "now": now}
    try:
        if takes_two:
            acts.propose_waiver(row, given["gate"], days=given["days"], **said)
        else:
            actions.waive_gate(row, given["gate"], expires_at=_until(now, given["days"]), **said)
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return False
    done = _("Waived. The gate is judged and shown, and does not decide until then.")
    messages.success(request, proposed_words() if takes_two else done)
    return True


def _until(now: datetime, days: int) -> datetime:
    return now + timedelta(days=days)


@partials(dialog_body="portal/judging/_withdraw.html")
def withdraw(request: HttpRequest, slug: str, pipeline_slug: str, waiver: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    found = Waiver.objects.filter(pipeline=row, pk=waiver).select_related("pipeline").first()
    if found is None:
        raise Http404
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            reason = form.cleaned_data["reason"]
            now = timezone.now()
            actions.withdraw_waiver(found, actor=who(request), reason=reason, now=now)
            messages.success(request, actions.withdrawn_words(found, now))
            return go(request, reverse("pipeline-gates", args=[slug, pipeline_slug]))
        except actions.ActionRefused as refused:
            form.add_error(None, str(refused))
    status = 422 if form.errors else 200
    return pipeline_page(request, row, "portal/judging/withdraw.html", status, form=form, waiver=found)
