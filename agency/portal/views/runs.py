"""One run: followed while it is live, decided where a person must."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.htmx import go, partials
from agency.portal.context import pipeline_page, who
from agency.portal.decisions import DECISIONS, IN_TRAFFIC, Decision, decision_of, offered, offered_of_rollout
from agency.portal.forms.fields import ReasonForm
from agency.portal.paging import paged
from agency.portal.views.changes.four_eyes import proposed_words
from pipelines import actions
from pipelines.actions.again import obstacle, stages_of
from pipelines.actions.two_people import acts
from pipelines.domain.change.again import STAGES
from pipelines.domain.transitions import RunStatus
from pipelines.models import ModelVersion, Run
from pipelines.reports.runs import RunPage, run_page
from pipelines.reports.shipping.rollout import rollout_panel
from tenants import access
from tenants.models import Pipeline

RUNS_A_PAGE = 30


def runs(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    found = Run.objects.filter(pipeline=row).select_related("model_version")
    return pipeline_page(request, row, "portal/runs.html", page=paged(request, found, RUNS_A_PAGE))


def way_out(page: RunPage) -> ModelVersion | None:
    """The version that a person can go back to while the new one is in the canary or watched."""
    rollout = page.rollout
    return rollout.previous if page.run.is_live and rollout is not None and rollout.status in IN_TRAFFIC else None


@partials(run_live="portal/_run_live.html")
def run(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    found = _run(row, number)
    page = run_page(found, timezone.now())
    return pipeline_page(
        request,
        row,
        "portal/run.html",
        run=found,
        page=page,
        decisions=offered(found, page.rollout),
        panel=rollout_panel(page.rollout, found, timezone.now()),
        orders=offered_of_rollout(found, page.rollout),
        stop=way_out(page),
        again=stages_of(found),
        followers=_gone_on_with(found),
    )


@partials(dialog_body="portal/_decide.html")
def decide(request: HttpRequest, slug: str, pipeline_slug: str, number: int, name: str) -> HttpResponse:
    """The same page asks on GET and acts on POST; in a dialog where scripts run."""
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    found = _run(row, number)
    if name not in DECISIONS:
        raise Http404
    decision = decision_of(found, name)
    form = ReasonForm(request.POST or None)
    is_seen = request.method != "POST" or _is_as_seen(request, found, form)
    if request.method == "POST" and form.is_valid() and is_seen and _ordered(request, found, decision, form):
        return go(request, reverse("run", args=[slug, pipeline_slug, number]))
    status = 422 if form.errors else 200
    given = {"run": found, "decision": decision, "form": form, "takes_two": acts.takes_two(found, name)}
    return pipeline_page(request, row, "portal/decide.html", status, **given)


@partials(dialog_body="portal/_rerun.html")
def rerun(request: HttpRequest, slug: str, pipeline_slug: str, number: int, stage: str) -> HttpResponse:
    """Asks on GET, with what is in the way; a new run on POST."""
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    found = _run(row, number)
    if stage not in STAGES:
        raise Http404
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = {"actor": who(request), "reason": form.cleaned_data["reason"], "now": timezone.now()}
        try:
            made = actions.rerun_from(found, stage, **given)
        except actions.ActionRefused as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(request, _("Run %(number)s goes on from there.") % {"number": made.number})
            return go(request, reverse("run", args=[slug, pipeline_slug, made.number]))
    status = 422 if form.errors else 200
    why_not = "" if form.errors else obstacle(found, stage)
    given = {"run": found, "stage": stage, "form": form, "why_not": why_not}
    return pipeline_page(request, row, "portal/rerun.html", status, **given)


def _is_as_seen(request: HttpRequest, run: Run, form: ReasonForm) -> bool:
    """Who decides about a held run decides about what they read, and not about what it is held for by now."""
    if run.status != RunStatus.HELD or request.POST.get("seen", str(run.version)) == str(run.version):
        return True
    form.add_error(None, _("The run went on meanwhile and is held for another reason: read it, then decide again."))
    return False


def _ordered(request: HttpRequest, run: Run, decision: Decision, form: ReasonForm) -> bool:
    given = {"actor": who(request), "reason": form.cleaned_data["reason"], "now": timezone.now()}
    try:
        if acts.takes_two(run, decision.name):
            acts.propose_order(run, decision.name, **given)
        else:
            decision.act(run, **given)
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return False
    messages.success(request, proposed_words() if acts.takes_two(run, decision.name) else str(decision.done))
    return True


def _gone_on_with(run: Run) -> list[Run]:
    """The runs that went on with this one."""
    return list(Run.objects.filter(pipeline_id=run.pipeline_id, occasion__of=run.number).order_by("number"))


def _run(pipeline: Pipeline, number: int) -> Run:
    found = Run.objects.filter(pipeline=pipeline, number=number).select_related("revision", "pipeline__client").first()
    if found is None:
        raise Http404
    return found
