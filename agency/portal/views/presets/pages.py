"""An agency's presets: the list, and one with the difference that a change makes in every pipeline that follows."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from pydantic import ValidationError

from agency.actor import open_agency
from agency.as_code.possible import saver
from agency.htmx import go
from agency.portal.context import who
from agency.portal.forms.many.forms import NewPresetForm, PresetForm
from agency.portal.forms.refusals import add_refusals
from agency.portal.forms.settings import SaveForm
from agency.portal.paging import number_in
from tenants import access
from tenants.following import presets as following
from tenants.following.changes import Applied
from tenants.models import Agency, Pipeline, SettingsPreset
from tenants.pipeline_settings import PipelineSettings


def presets(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request, access.CONFIGURE)
    pipelines = Pipeline.objects.order_by("client__name", "name").values_list("pk", "client__name", "name")
    form = NewPresetForm(pipelines, request.POST or None)
    if request.method == "POST" and form.is_valid():
        chosen = number_in(form.cleaned_data["source"])
        source = Pipeline.objects.select_related("revision").filter(pk=chosen).first() if chosen else None
        body = source.settings.model_dump(mode="json") if source else PipelineSettings().model_dump(mode="json")
        agency = Agency.objects.get(pk=actor.agency_id or 0)
        name, slug = form.cleaned_data["name"], form.cleaned_data["slug"]
        made = following.create_preset(agency, name, slug, body, who(request), timezone.now())
        messages.success(
            request, _("%(name)s is here. Let pipelines follow it on their settings page.") % {"name": name}
        )
        return go(request, reverse("preset", args=[made.slug]))
    following_it = Pipeline.objects.order_by().filter(preset__isnull=False).values_list("preset")
    counts = dict(following_it.annotate(n=Count("pk")))
    rows = [(row, counts.get(row.pk, 0)) for row in SettingsPreset.objects.all()]
    given = {"form": form, "rows": rows}
    return TemplateResponse(request, "portal/presets/presets.html", given, status=422 if form.errors else 200)


def preset(request: HttpRequest, preset: str) -> HttpResponse:
    open_agency(request, access.CONFIGURE)
    row = SettingsPreset.objects.filter(slug=preset).first()
    if row is None:
        raise Http404
    now_has = row.settings
    if request.method != "POST":
        return _page(request, row, PresetForm(now_has))
    form = PresetForm(now_has, request.POST)
    wanted = _read(form)
    if wanted is None:
        opened = SaveForm(initial={"base": SaveForm(request.POST).base_seen or row.version})
        return _page(request, row, form, 422, save_form=opened)
    return _change(request, row, form, wanted.model_dump(mode="json"))


def _read(form: PresetForm) -> PipelineSettings | None:
    if not form.is_valid():
        return None
    try:
        return PipelineSettings.model_validate(form.body())
    except ValidationError as error:
        add_refusals(form, error, form.names())
        return None


def _change(request: HttpRequest, row: SettingsPreset, form: PresetForm, body: dict[str, Any]) -> HttpResponse:
    by = saver(who(request), timezone.now())
    changes, found = following.changes_of(row, body), following.proposals(row, body, by.judge)
    save = SaveForm(request.POST)
    shown: dict[str, Any] = {"changes": changes, "proposals": found, "reviewed": True}
    shown["save_form"] = save.beside(row.version, body)
    saves = "save" in request.POST and save.is_valid()
    stale = "" if save.base_seen in (None, row.version) else str(following.StalePreset(row))
    if changes and (said := stale or (save.fault(body) if saves else "")):
        form.add_error(None, said)
        return _page(request, row, form, 422, **shown)
    if not saves or not changes:
        return _page(request, row, form, **shown)
    try:
        seen = following.Seen(save.cleaned_data["base"], bases_of(request))
        done = following.change_preset(row, body, seen, by, save.cleaned_data["reason"])
    except following.StalePreset as other:
        form.add_error(None, str(other))
        return _page(request, row, form, 422, **shown)
    tell(request, done)
    return go(request, request.path)


def bases_of(request: HttpRequest) -> dict[int, int]:
    """{pipeline: revision} as the page showed them, in fields `base-<pipeline>`."""
    sent = ((name.removeprefix("base-"), value) for name, value in request.POST.items() if name.startswith("base-"))
    return {int(pk): int(str(number)) for pk, number in sent if pk.isdigit() and str(number).isdigit()}


def tell(request: HttpRequest, done: Applied) -> None:
    """What was saved, and by name what was not."""
    messages.success(request, _("Saved: a new revision in %(n)s pipelines.") % {"n": len(done.saved)})
    if done.stale:
        said = _("Changed by somebody meanwhile, and left as they are: %(names)s. Look at the difference again.")
        messages.error(request, said % {"names": ", ".join(done.stale)})
    if done.refused:
        messages.error(
            request, _("Cannot take it, and left as they are: %(names)s.") % {"names": "; ".join(done.refused)}
        )


def _page(
    request: HttpRequest, row: SettingsPreset, form: PresetForm, status: int = 200, **more: Any
) -> TemplateResponse:
    given = {"preset": row, "form": form, "save_form": SaveForm(initial={"base": row.version})}
    given |= {"followers": following.followers(row)}
    return TemplateResponse(request, "portal/presets/preset.html", given | more, status=status)
