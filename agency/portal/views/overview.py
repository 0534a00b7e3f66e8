"""Every client at a glance, a new one, and the way to any page by a few words."""

from __future__ import annotations

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_agency
from agency.htmx import go, partials
from agency.portal.context import actor_of, who
from agency.portal.forms.people import ClientForm
from agency.portal.jump import places
from agency.portal.paging import paged
from pipelines.reports.judging.sparks import sparks
from pipelines.reports.overview import Sort, agency_overview, pipeline_lines
from tenants import access, actions, scope
from tenants.models import Agency, Client, Pipeline

LINES_A_PAGE = 50


@partials(clients="portal/_clients.html")
def overview(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request)
    text = request.GET.get("q", "").strip()
    asked = request.GET.get("sort", "")
    sort = Sort(asked) if asked in set(Sort) else Sort.NEEDS
    shown = agency_overview(text, sort, timezone.now())
    may_add = actor.may(access.ADMINISTER)
    page = paged(request, shown.lines, LINES_A_PAGE)
    given = {"overview": shown, "page": page, "q": text, "sort": sort, "may_add": may_add}
    given["sparks"] = sparks(line.pipeline for line in page)
    return TemplateResponse(request, "portal/overview.html", given)


@partials(dialog_body="portal/_jump.html", places="portal/_places.html")
def jump(request: HttpRequest) -> HttpResponse:
    """Ctrl-K. With ?go=1, as the enter key sends it, straight to the first place."""
    open_agency(request)
    text = request.GET.get("q", "").strip()[:100]
    found = places(text)
    if request.GET.get("go") and found:
        return go(request, found[0].url)
    return TemplateResponse(request, "portal/jump.html", {"places": found, "q": text})


def own_clients(request: HttpRequest) -> HttpResponse:
    """The start page of staff who see named clients only: those, each with its pipelines."""
    found = []
    for grant in actor_of(request).grants:
        if grant.client_id is not None and access.can(grant.role, access.VIEW):
            with scope.client_scope(grant.client_id, grant.agency_id):
                client = Client.objects.get(pk=grant.client_id)
                found.append((client, pipeline_lines(Pipeline.objects.filter(client=client), timezone.now())))
    return TemplateResponse(request, "portal/own_clients.html", {"clients": found})


def new_client(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request, access.ADMINISTER)
    form = ClientForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = created(form, actor.agency_id, who(request))
        if made is not None:
            messages.success(request, _("%(name)s is here. Add a host and a pipeline next.") % {"name": made.name})
            return go(request, reverse("client", args=[made.slug]))
    return TemplateResponse(request, "portal/new_client.html", {"form": form}, status=422 if form.errors else 200)


def created(form: ClientForm, agency_id: int | None, by: str) -> Client | None:
    """The client as typed; None, with a sentence in the form, where its short name is taken."""
    name, slug, zone = (form.cleaned_data[key] for key in ("name", "slug", "timezone"))
    agency = Agency.objects.get(pk=agency_id or 0)
    try:
        return actions.create_client(agency, name, slug, by, timezone.now(), zone)
    except IntegrityError:
        # Unique in the installation: another agency's client cannot be seen from here, its name is taken all the same.
        form.add_error("slug", _("This short name is taken in this installation."))
        return None
