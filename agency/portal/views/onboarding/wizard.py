"""The wizard: first client, host, pipeline, examples, first run. Each step saves what it made; each can be left out.

No step has a draft: what is made is there, and the steps are read from it. So one leaves and comes back at will.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_agency, open_client, open_pipeline
from agency.htmx import go, partials
from agency.mail.trial import send_trial
from agency.portal.context import client_page, pipeline_page, who
from agency.portal.forms.people import ClientForm
from agency.portal.forms.runs import PipelineForm, StartForm
from agency.portal.probe import ask, keep
from agency.portal.views import clients, overview, pipelines
from agency.portal.views.hosts.forms import HostForm
from pipelines import actions
from pipelines.actions.hosts import sealed
from pipelines.fleet.look import Seen
from pipelines.reports.onboarding import Progress, progress
from tenants import access
from tenants.models import Client, Host

TRIALS_A_MINUTE = 6


def begin(request: HttpRequest) -> HttpResponse:
    """Step 1: the client."""
    actor = open_agency(request, access.ADMINISTER)
    form = ClientForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = overview.created(form, actor.agency_id, who(request))
        if made is not None:
            return go(request, reverse("wizard-host", args=[made.slug]))
    given = {"form": form, "step": "client", "progress": Progress()}
    return TemplateResponse(request, "portal/onboarding/client.html", given, status=422 if form.errors else 200)


def go_on(request: HttpRequest, slug: str) -> HttpResponse:
    """To the first step that is not done; to the run when all are."""
    found = progress(open_client(request, slug, access.CONFIGURE))
    if found.pipeline is None:
        return go(request, reverse(f"wizard-{found.next}", args=[slug]))
    if found.next is None:
        return go(request, reverse("run", args=[slug, found.pipeline.slug, found.run]))
    if found.next == "host":
        return go(request, reverse("wizard-host", args=[slug]))
    return go(request, reverse(f"wizard-{found.next}", args=[slug, found.pipeline.slug]))


@partials(test_result="portal/onboarding/_result.html")
def host(request: HttpRequest, slug: str) -> HttpResponse:
    """Step 2: a host. `act` test asks it and saves nothing."""
    row = open_client(request, slug, access.CONFIGURE)
    if request.method != "POST":
        form = HostForm(row, initial=_embedded(row))
        return _page(request, row, "host", form)
    form = HostForm(row, request.POST)
    if not form.is_valid():
        return _page(request, row, "host", form, 422)
    if request.POST.get("act") == "test":
        return _page(request, row, "host", form, **_asked(row, form))
    made, answer = clients.added(row, form, who(request))
    if made is None:
        return _page(request, row, "host", form, 422)
    messages.info(request, keep(made, answer, timezone.now()))
    return go(request, reverse("wizard-go-on", args=[slug]))


def _embedded(row: Client) -> dict[str, Any]:
    known = not settings.EMBEDDED_HOST or Host.objects.filter(client=row).exists()
    return {} if known else {"name": "here", "url": settings.EMBEDDED_HOST}


def _asked(row: Client, form: HostForm) -> dict[str, Any]:
    given = form.cleaned_data
    to_be = Host(agency_id=row.agency_id, client=row, name=given["name"], url=given["url"])
    seen: Seen = ask(sealed(to_be, form.access))
    if seen.facts is None:
        return {"is_good": False, "said": _("It does not answer: %(why)s") % {"why": seen.why}}
    words = {"version": seen.facts.version, "n": len(seen.tags)}
    return {"is_good": True, "said": _("It answers: version %(version)s, %(n)s models on it.") % words}


@partials(test_result="portal/onboarding/_result.html")
def pipeline(request: HttpRequest, slug: str) -> HttpResponse:
    """Step 3: a pipeline by preset. `act` mail sends a test mail and saves nothing."""
    row = open_client(request, slug, access.CONFIGURE)
    hosts = list(Host.objects.filter(client=row).values_list("name", flat=True))
    first = {"hosts": hosts, "recipients": [who(request)]}
    if request.POST.get("act") == "mail":
        sent = PipelineForm(row, hosts, request.POST)
        return _page(request, row, "pipeline", _as_typed(sent, row, hosts), **_mailed(request, sent))
    form = PipelineForm(row, hosts, request.POST or None, initial=first)
    if request.method == "POST" and form.is_valid():
        made = pipelines.created(row, form, who(request))
        if made is not None:
            return go(request, reverse("wizard-data", args=[slug, made.slug]))
    return _page(request, row, "pipeline", form, 422 if form.errors else 200)


def _as_typed(form: PipelineForm, row: Client, hosts: list[str]) -> PipelineForm:
    """What was typed, without a word on what is still missing: nobody asked for that yet."""
    return PipelineForm(row, hosts, initial={name: form[name].value() for name in form.fields})


def _mailed(request: HttpRequest, form: PipelineForm) -> dict[str, Any]:
    key = f"trial-mail-{who(request)}"
    cache.add(key, 0, 60)
    if cache.incr(key) > TRIALS_A_MINUTE:
        return {"is_good": False, "said": _("Enough test mails for now: wait a minute.")}
    typed = form.fields["recipients"].clean(form["recipients"].value())
    is_good, said = send_trial(typed, who(request))
    return {"is_good": is_good, "said": said}


def first_run(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Step 5: what is there, what is missing, and the start."""
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    form = StartForm(request.POST or None)
    if request.method == "POST":
        form = StartForm({"reason": request.POST.get("reason") or _("first run")})
        try:
            if form.is_valid():
                reason = form.cleaned_data["reason"]
                run = actions.start_run(row, actor=who(request), now=timezone.now(), reason=reason)
                return go(request, reverse("run", args=[slug, pipeline_slug, run.number]))
        except actions.ActionRefused as refused:
            form.add_error(None, str(refused))
    given = {"form": form, "step": "run", "progress": progress(row.client, row)}
    return pipeline_page(request, row, "portal/onboarding/run.html", 422 if form.errors else 200, **given)


def _page(
    request: HttpRequest, row: Client, step: str, form: forms.Form, status: int = 200, **more: Any
) -> HttpResponse:
    given = {"form": form, "step": step, "progress": progress(row)} | more
    return client_page(request, row, f"portal/onboarding/{step}.html", status, **given)
