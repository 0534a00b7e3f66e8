"""Every client at a glance, a new one, and the way to any page by a few words."""

from __future__ import annotations

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.http import require_POST

from agency.actor import open_agency
from agency.htmx import go, partials
from agency.portal.context import actor_of, who
from agency.portal.forms.people import ClientForm
from agency.portal.jump import places
from agency.portal.paging import paged
from pipelines.reports.foresight.waiting import waiting
from pipelines.reports.judging.sparks import sparks
from pipelines.reports.overview import Show, Sort, Wanted, agency_overview, pipeline_lines
from tenants import access, actions, scope
from tenants.models import Agency, Client, Pipeline
from tenants.people.views import ViewRefused, change_views, views_of

LINES_A_PAGE = 25
FILTERS = (
    (Show.ALL, _lazy("All")),
    (Show.NEEDS, _lazy("Needs you")),
    (Show.LIVE, _lazy("Run on its way")),
    (Show.BARE, _lazy("No model yet")),
    (Show.PAUSED, _lazy("Paused")),
)


@partials(clients="portal/_clients.html")
def overview(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request)
    asked = _asked(request.GET)
    shown = agency_overview(asked, timezone.now())
    may_add = actor.may(access.ADMINISTER)
    page = paged(request, shown.lines, LINES_A_PAGE)
    given = {"overview": shown, "page": page, "q": asked.text, "sort": asked.sort, "show": asked.show}
    given |= {"may_add": may_add, "filters": FILTERS, "query": _query(asked), "views": views_of(request.user.pk or 0)}
    given["sparks"] = sparks(line.pipeline for line in page)
    given["waiting"] = waiting([line.run.pk for line in page if line.run and line.run.is_live], timezone.now())
    return TemplateResponse(request, "portal/overview.html", given)


def _asked(given: QueryDict) -> Wanted:
    """Out of an address; what it does not know is as if it were not there."""
    sort, show = given.get("sort", ""), given.get("show", "")
    return Wanted(
        given.get("q", "").strip()[:100],
        Sort(sort) if sort in set(Sort) else Sort.NEEDS,
        Show(show) if show in set(Show) else Show.ALL,
    )


def _query(asked: Wanted) -> str:
    """The address of a view, without what is as ever; empty for the plain page."""
    usual, given = Wanted(), {"q": asked.text, "show": asked.show, "sort": asked.sort}
    as_ever = {"q": usual.text, "show": usual.show, "sort": usual.sort}
    return urlencode({name: str(value) for name, value in given.items() if value != as_ever[name]})


@require_POST
def keep_view(request: HttpRequest) -> HttpResponse:
    """The view that is on the page, under a name of one's own; an empty query takes the name away."""
    open_agency(request)
    query = _query(_asked(QueryDict(request.POST.get("query", ""))))
    try:
        change_views(request.user.pk or 0, request.POST.get("name", ""), query)
    except ViewRefused as refused:
        messages.error(request, str(refused))
    return go(request, reverse("overview") + (f"?{query}" if query else ""))


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
    """The start page of people who see named clients only: each with its pipelines, or with its report for readers."""
    actor = actor_of(request)
    grants = sorted((g for g in actor.grants if g.client_id is not None), key=lambda grant: grant.client)
    page, found = paged(request, grants, LINES_A_PAGE), []
    for grant in page:
        with scope.client_scope(grant.client_id, grant.agency_id):
            client, lines = Client.objects.get(pk=grant.client_id), None
            if access.can(grant.role, access.VIEW):
                lines = pipeline_lines(Pipeline.objects.filter(client=client), timezone.now())
            found.append((client, lines))
    template = "portal/own_clients.html" if actor.has_staff_role else "reports/clients.html"
    return TemplateResponse(request, template, {"clients": found, "page": page})


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
