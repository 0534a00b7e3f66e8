"""One pipeline and the others: which preset it follows, and its settings copied to another client."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from pydantic import ValidationError

from agency.actor import open_pipeline
from agency.as_code.possible import saver
from agency.htmx import go
from agency.portal.context import actor_of, pipeline_page, who
from agency.portal.forms.many.forms import CloneForm, FollowForm
from agency.portal.forms.refusals import add_refusals
from agency.portal.views.settings import current
from tenants import access, actions, scope
from tenants.following import presets as following
from tenants.following.changes import propose
from tenants.following.fields import is_own, shared, without_own
from tenants.models import Client, Pipeline, SettingsPreset
from tenants.models.settings_revision import flatten
from tenants.pipeline_settings import PipelineSettings


def follow(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Shows where the pipeline differs from a preset (`?preset=`), lets it follow, or leave."""
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    with scope.agency_scope(row.agency_id):  # Presets are the agency's; the pipeline is its client's.
        found = {preset.slug: preset for preset in SettingsPreset.objects.all()}
        if request.method == "POST" and request.POST.get("act") == "leave":
            following.leave(row, actor=who(request), now=timezone.now())
            messages.success(request, _("It follows no preset now. Its settings stay as they are."))
            return go(request, request.path)
        form = FollowForm(list(found.values()), request.POST or None, initial=_initial(request, row, found))
        if request.method == "POST" and form.is_valid() and _follows(request, row, found, form):
            return go(request, reverse("settings", args=[slug, pipeline_slug]))
    return _follow_page(request, row, found, form)


def _initial(request: HttpRequest, row: Pipeline, found: dict[str, SettingsPreset]) -> dict[str, Any]:
    wanted = request.GET.get("preset", "")
    followed = next((slug for slug, preset in found.items() if preset.pk == row.preset_id), None)
    return {"preset": wanted if wanted in found else followed or next(iter(found), ""), "base": current(row).number}


def _follows(request: HttpRequest, row: Pipeline, found: dict[str, SettingsPreset], form: FollowForm) -> bool:
    given = form.cleaned_data
    preset = found[given["preset"]]
    takes_all = given["differing"] == "take"
    by = saver(who(request), timezone.now())
    done = following.follow(row, preset, by, takes_all=takes_all, base=given["base"])
    if done.stale:
        form.add_error(None, _("Somebody saved other settings meanwhile: look at the difference again."))
    for sentence in done.refused:
        form.add_error(None, sentence)
    if form.errors:
        return False
    messages.success(request, _("It follows %(name)s.") % {"name": preset.name})
    return True


def _follow_page(
    request: HttpRequest, row: Pipeline, found: dict[str, SettingsPreset], form: FollowForm
) -> HttpResponse:
    chosen = found.get(str(form["preset"].value()))
    followed = next((preset for preset in found.values() if preset.pk == row.preset_id), None)
    given: dict[str, Any] = {"form": form, "followed": followed, "chosen": chosen, "presets": found}
    by = saver(who(request), timezone.now())
    given |= {"proposal": propose(row, shared(chosen.now_stored()), by.judge) if chosen else None}
    return pipeline_page(request, row, "portal/presets/follow.html", 422 if form.errors else 200, **given)


def clone(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Settings only: no row, no host, no address, nothing that the client alone allowed."""
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    clients = _clients(request, row)
    form = CloneForm(clients, request.POST or None, initial={"name": row.name, "slug": row.slug})
    body = row.settings.model_dump(mode="json")
    output = {"criteria": {"output": body["criteria"]["output"]}}
    copied = PipelineSettings.model_validate(without_own(body, output)).model_dump(mode="json")
    if request.method == "POST" and form.is_valid():
        to = next(client for client in clients if client.slug == form.cleaned_data["client"])
        made = _cloned(form, to, copied, who(request))
        if made is not None:
            messages.success(
                request, _("%(name)s is set up: add hosts, recipients and examples.") % {"name": made.name}
            )
            return go(request, reverse("pipeline", args=[to.slug, made.slug]))
    defaults = flatten(PipelineSettings().model_dump(mode="json"))
    kept = {path: value for path, value in flatten(copied).items() if defaults.get(path) != value}
    left = sorted(path for path, value in flatten(body).items() if is_own(path) and path not in flatten(copied))
    given = {"form": form, "kept": kept, "left": left}
    return pipeline_page(request, row, "portal/presets/clone.html", 422 if form.errors else 200, **given)


def _clients(request: HttpRequest, row: Pipeline) -> list[Client]:
    """The agency's clients at which the actor may configure."""
    with scope.agency_scope(row.agency_id):
        found = list(Client.objects.all())
    grants = actor_of(request).grants
    return [client for client in found if any(grant.covers(client, access.CONFIGURE) for grant in grants)]


def _cloned(form: CloneForm, to: Client, body: dict[str, Any], by: str) -> Pipeline | None:
    name, slug = form.cleaned_data["name"], form.cleaned_data["slug"]
    with scope.client_scope(to.pk, to.agency_id):
        if Pipeline.objects.filter(client=to, slug=slug).exists():
            form.add_error("slug", _("There is a pipeline “%(slug)s” already.") % {"slug": slug})
            return None
        try:
            return actions.create_pipeline(to, name, slug, body, by, timezone.now())
        except ValidationError as error:
            add_refusals(form, error)
            return None
