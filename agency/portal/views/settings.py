"""A pipeline's settings: the form, the diff before saving, the history, and the way back to an earlier revision."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from pydantic import ValidationError

from agency.actor import open_pipeline
from agency.as_code.possible import problems
from agency.htmx import go, partials
from agency.portal.context import pipeline_page, who
from agency.portal.forms.fields import ReasonForm
from agency.portal.forms.refusals import add_refusals
from agency.portal.forms.settings import SaveForm, SettingsForm
from agency.portal.probe import ask
from agency.portal.schedule_words import in_words
from agency.portal.views.changes.four_eyes import proposed_words
from agency.portal.views.telling.rules import told
from pipelines.actions import ActionRefused
from pipelines.actions.two_people.acts import propose_settings
from pipelines.domain.schedule import BadSchedule
from pipelines.reports.judging.measurable import without_a_set
from pipelines.reports.schedule import anchors_of, next_times, spread
from tenants import access, actions
from tenants.models import Host, Pipeline, SettingsRevision
from tenants.models.settings_revision import changed
from tenants.people.four_eyes import TwoPeopleNeeded
from tenants.pipeline_settings import PipelineSettings, Schedule
from tenants.training import services_of


def settings(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    if request.method == "POST":
        return _change(request, open_pipeline(request, slug, pipeline_slug, access.CONFIGURE))
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    return _page(request, row, _form(row))


def _page(request: HttpRequest, row: Pipeline, form: SettingsForm, status: int = 200, **more: Any) -> HttpResponse:
    schedule = _echo(row, form.initial.get("triggers.schedule.rule"), form.initial.get("triggers.schedule.at"))
    given = {"form": form, "save_form": SaveForm(initial={"base": current(row).number}), "schedule": schedule}
    given |= {"without_a_set": without_a_set(row, row.settings.gates)}
    wanted = more.pop("wanted", row.settings)
    given |= {"told": {} if form.errors else told(row, wanted)}
    return pipeline_page(request, row, "portal/settings.html", status, **(given | more))


def current(row: Pipeline) -> SettingsRevision:
    """The revision that new runs pin; a pipeline is never without one."""
    if row.revision is None:
        raise Http404
    return row.revision


def _host_names(row: Pipeline) -> list[str]:
    return list(Host.objects.filter(client=row.client, is_enabled=True).values_list("name", flat=True))


def _form(row: Pipeline, data: Any = None) -> SettingsForm:
    services = [one.name for one in services_of(row.agency_id)]
    return SettingsForm(row.settings, _host_names(row), data, services)


def _change(request: HttpRequest, row: Pipeline) -> HttpResponse:
    """Review shows what would change; save writes that as a revision, unless somebody else wrote one meanwhile."""
    form, save = _form(row, request.POST), SaveForm(request.POST)
    wanted = _read(form, row)
    if wanted is None:
        opened = SaveForm(initial={"base": save.base_seen or current(row).number})
        return _page(request, row, form, 422, save_form=opened)
    body = wanted.model_dump(mode="json")
    changes = changed(current(row).body, body)
    shown: dict[str, Any] = {"changes": changes, "reviewed": True, "wanted": wanted}
    shown |= {"save_form": save.beside(current(row).number, body)}
    saves = "save" in request.POST and save.is_valid()
    if changes and (said := _stale(row, save.base_seen) or (save.fault(body) if saves else "")):
        form.add_error(None, said)
        return _page(request, row, form, 422, **shown)
    if not saves or not changes:
        return _page(request, row, form, **shown)
    try:
        messages.success(request, _saved(request, row, body, save.cleaned_data["reason"]))
    except ActionRefused as refused:
        form.add_error(None, str(refused))
        return _page(request, row, form, 422, **shown)
    return go(request, reverse("settings", args=[row.client.slug, row.slug]))


def _stale(row: Pipeline, base: int | None) -> str:
    """Whose revision came after `base`, the one that the page was opened with; empty where none did."""
    if base in (None, current(row).number):
        return ""
    said = _("%(who)s saved revision %(n)s meanwhile. This is the difference to that one now: look again, then save.")
    return said % {"who": current(row).author, "n": current(row).number}


def _saved(request: HttpRequest, row: Pipeline, body: dict[str, Any], reason: str) -> str:
    """A new revision, or a proposal of one where thresholds take two people; what was done, in words."""
    try:
        made = actions.change_settings(row, body, who(request), timezone.now(), reason, base=current(row).number)
    except actions.StaleSettings as stale:
        raise ActionRefused(_("Somebody saved other settings at this moment: look at the difference again.")) from stale
    except TwoPeopleNeeded:
        propose_settings(row, body, actor=who(request), reason=reason, now=timezone.now())
        return proposed_words()
    return _("Saved as revision %(n)s. The next run uses it.") % {"n": made.number}


def _read(form: SettingsForm, row: Pipeline) -> PipelineSettings | None:
    """The settings as typed, or None with sentences beside the fields."""
    if not form.is_valid():
        return None
    try:
        wanted = PipelineSettings.model_validate(form.body())
    except ValidationError as error:
        add_refusals(form, error, form.names())
        return None
    _check_hosts(form, row, sorted(set(wanted.hosts) - set(row.settings.hosts)))
    for path, sentence in problems(row, wanted, timezone.now()):
        form.add_error(path, sentence)
    return None if form.errors else wanted


def _check_hosts(form: SettingsForm, row: Pipeline, added: list[str]) -> None:
    for host in Host.objects.filter(client=row.client, name__in=added):
        why = ask(host).why
        if why:
            form.add_error("hosts", _("Host %(name)s does not answer: %(why)s") % {"name": host.name, "why": why})


@partials(schedule_echo="portal/_schedule.html")
def schedule(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """What a rule means and when it is due, while it is being typed."""
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    rule, at = request.GET.get("triggers.schedule.rule", ""), request.GET.get("triggers.schedule.at", "")
    return pipeline_page(request, row, "portal/schedule.html", schedule=_echo(row, rule, at))


def _echo(row: Pipeline, rule: str | None, at: str | None) -> dict[str, Any]:
    if not rule:
        return {"words": _("No schedule."), "times": []}
    try:
        parsed = Schedule.model_validate({"rule": rule, "at": at or "04:00"})
        as_it_is = row.settings.triggers.schedule == parsed
        set_at = anchors_of([row]).get(row.pk) if as_it_is else None
        times = next_times(parsed, row.client.timezone, timezone.now(), set_at=set_at)
    except (ValidationError, BadSchedule) as error:
        return {"error": _("This rule cannot be read: %(why)s") % {"why": _why(error)}}
    said = {"words": in_words(parsed, row.client.timezone), "times": times, "zone": row.client.timezone}
    return said | {"later": spread(row).total_seconds()}


def _why(error: Exception) -> str:
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)


def history(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    revisions = list(SettingsRevision.objects.filter(pipeline=row))
    pairs = zip(revisions, [*revisions[1:], None], strict=True)
    lines = [(revision, revision.changes_from(older) if older else []) for revision, older in pairs]
    return pipeline_page(request, row, "portal/settings_history.html", lines=lines)


@partials(dialog_body="portal/_restore.html")
def restore(request: HttpRequest, slug: str, pipeline_slug: str, number: int) -> HttpResponse:
    """An earlier revision as a new one: asks with the diff on GET, acts on POST."""
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    found = SettingsRevision.objects.filter(pipeline=row, number=number).first()
    if found is None:
        raise Http404
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        for sentence in _in_the_way(row, found):
            form.add_error(None, sentence)
    if request.method == "POST" and form.is_valid():
        try:
            body = found.settings.model_dump(mode="json")
            messages.success(request, _saved(request, row, body, form.cleaned_data["reason"]))
            return go(request, reverse("settings", args=[slug, pipeline_slug]))
        except ActionRefused as refused:
            form.add_error(None, str(refused))
    given = {"revision": found, "changes": found.changes_from(row.revision), "form": form}
    return pipeline_page(request, row, "portal/restore.html", 422 if form.errors else 200, **given)


def _in_the_way(row: Pipeline, found: SettingsRevision) -> list[str]:
    """Why settings that once held cannot work any more: a host that is gone, a value that is no longer allowed."""
    try:
        wanted = found.settings
    except ValidationError as error:
        return [_why(error)]
    return [f"{path}: {sentence}" for path, sentence in problems(row, wanted, timezone.now())]
