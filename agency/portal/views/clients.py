"""One client: its pipelines, hosts, keys and people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from agency.actor import open_client
from agency.htmx import go
from agency.portal.context import client_page, who
from agency.portal.forms.fields import RetuneForm
from agency.portal.forms.people import KeyForm, MemberForm
from agency.portal.paging import paged
from agency.portal.probe import ask, keep, obstacle
from agency.portal.views.hosts.forms import AgentHostForm, HostForm
from agency.portal.views.people import invite
from pipelines.actions.hosts import sealed
from pipelines.fleet.look import Seen
from pipelines.machines.agents import gateways
from pipelines.models import Drill
from pipelines.reports.overview import pipeline_lines
from pipelines.shipping.back.drills import latest_by_host
from tenants import access, actions, scope
from tenants.models import ApiKey, AuditEvent, Client, Host, Membership, Pipeline

AUDIT_PAGE = 50


def client(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.VIEW)
    return page_of(request, row)


def page_of(request: HttpRequest, row: Client, status: int = 200, **forms: RetuneForm) -> HttpResponse:
    """`forms` take the place of empty ones."""
    shown: dict[str, RetuneForm] = {"host_form": HostForm(row), "key_form": KeyForm(), "member_form": MemberForm()}
    shown |= {"agent_form": AgentHostForm(row)} | forms
    lines = pipeline_lines(Pipeline.objects.filter(client=row), timezone.now())
    lists: dict[str, Any] = {"hosts": _hosts(row), "keys": ApiKey.objects.filter(client=row).order_by("-id")}
    asked = Pipeline.objects.filter(client=row).values_list("slug", flat=True).first()
    lists |= {"gateways": gateways(row, settings.GATEWAY_URL), "asked": asked}
    key_text = request.session.pop("new_key", "")
    return client_page(
        request,
        row,
        "portal/client.html",
        status,
        lines=lines,
        people=_people(row),
        key_text=key_text,
        **lists,
        **shown,
    )


def _hosts(row: Client) -> list[tuple[Host, tuple[Drill, str] | None]]:
    """Each host with the latest drill that asked it."""
    drills = latest_by_host(row.pk)
    return [(host, drills.get(host.name)) for host in Host.objects.filter(client=row)]


def _people(row: Client) -> Sequence[Membership]:
    # Memberships belong to the agency: a client's scope cannot read them.
    with scope.agency_scope(row.agency_id):
        return list(Membership.objects.filter(client=row).select_related("user"))


@require_POST
def add_host(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.CONFIGURE)
    form = HostForm(row, request.POST)
    if not form.is_valid():
        return page_of(request, row, 422, host_form=form)
    host, answer = added(row, form, who(request))
    if host is None:
        return page_of(request, row, 422, host_form=form)
    messages.info(request, keep(host, answer, timezone.now()))
    return go(request, reverse("client", args=[slug]))


def added(row: Client, form: HostForm, by: str) -> tuple[Host | None, Seen]:
    """The host as typed and what it said; None, with a sentence in the form, where it should be up and is not."""
    name, url, anyway = (form.cleaned_data[key] for key in ("name", "url", "anyway"))
    to_be = sealed(Host(agency_id=row.agency_id, client=row, name=name, url=url), form.access)
    answer = ask(to_be)  # Before anything is written: a slow host must not hold a transaction open.
    why_not = obstacle(url, answer, may_be_silent=anyway)
    if why_not:
        form.add_error("url", why_not)
        return None, answer
    return actions.add_host(row, name, url, by, timezone.now(), sealed=to_be.sealed, access=to_be.access), answer


@require_POST
def issue_key(request: HttpRequest, slug: str) -> HttpResponse:
    """The text of the key is kept in the session until the next page has shown it, once."""
    row = open_client(request, slug, access.ADMINISTER)
    form = KeyForm(request.POST)
    if not form.is_valid():
        return page_of(request, row, 422, key_form=form)
    _key, text = actions.issue_key(row, **form.cleaned_data, actor=who(request), now=timezone.now())
    request.session["new_key"] = text
    return go(request, reverse("client", args=[slug]) + "#keys")


@require_POST
def revoke_key(request: HttpRequest, slug: str, prefix: str) -> HttpResponse:
    row = open_client(request, slug, access.ADMINISTER)
    key = ApiKey.objects.filter(client=row, prefix=prefix, revoked_at=None).first()
    if key is None:
        raise Http404
    actions.revoke_key(key, who(request), timezone.now())
    messages.success(request, _("The key %(name)s is revoked.") % {"name": key.name})
    return go(request, reverse("client", args=[slug]) + "#keys")


@require_POST
def add_member(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.ADMINISTER)
    form = MemberForm(request.POST)
    if not form.is_valid() or not invite(request, form, row.agency, row):
        return page_of(request, row, 422, member_form=form)
    return go(request, reverse("client", args=[slug]) + "#people")


def audit(request: HttpRequest, slug: str) -> HttpResponse:
    """The client's ledger, newest first."""
    row = open_client(request, slug, access.VIEW)
    events = AuditEvent.objects.filter(client=row).order_by("-seq")
    return client_page(request, row, "portal/audit.html", page=paged(request, events, AUDIT_PAGE))
