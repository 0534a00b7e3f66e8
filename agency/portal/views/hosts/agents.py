"""Hosts behind an agent: added with a token that is shown once, which may be renewed and revoked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from agency.actor import open_client
from agency.htmx import go, partials
from agency.portal.context import client_page, who
from agency.portal.forms.fields import ReasonForm
from agency.portal.views.clients import page_of
from agency.portal.views.hosts.forms import AgentHostForm
from agency.portal.views.hosts.pages import TOKEN, open_host
from tenants import access
from tenants.machines import agents
from tenants.models.host import AGENT


@require_POST
def add_agent_host(request: HttpRequest, slug: str) -> HttpResponse:
    """The token is kept in the session until the host's page has shown it, once."""
    row = open_client(request, slug, access.CONFIGURE)
    form = AgentHostForm(row, request.POST)
    if not form.is_valid():
        return page_of(request, row, 422, agent_form=form)
    host, token = agents.add_agent_host(row, form.cleaned_data["name"], actor=who(request), now=timezone.now())
    request.session[TOKEN] = [host.pk, token]
    return go(request, reverse("host", args=[slug, host.name]))


@dataclass(frozen=True)
class Order:
    button: str | Promise
    says: str | Promise
    act: Callable[..., str | None]


ORDERS = {
    "renew": Order(
        _("New token"),
        _("The token of now opens nothing any more: the agent serves its last routes until it is given the new one."),
        agents.renew_token,
    ),
    "revoke": Order(
        _("Revoke"),
        _("The agent is told nothing and asked nothing any more. It serves its last routes until it is stopped there."),
        agents.revoke_agent,
    ),
}


@partials(dialog_body="portal/hosts/_switch.html")
def order(request: HttpRequest, slug: str, name: str, order: str) -> HttpResponse:
    """Asks on GET and acts on POST."""
    client, row = open_host(request, slug, name, access.CONFIGURE)
    if row.kind != AGENT:
        raise Http404
    form, found = ReasonForm(request.POST or None), ORDERS[order]
    if request.method == "POST" and form.is_valid():
        token = found.act(row, actor=who(request), reason=form.cleaned_data["reason"], now=timezone.now())
        if token:
            request.session[TOKEN] = [row.pk, token]
        messages.success(request, gettext("Done: %(order)s %(name)s.") % {"order": found.button, "name": row.name})
        return go(request, reverse("host", args=[slug, row.name]))
    status = 422 if form.errors else 200
    return client_page(request, client, "portal/hosts/switch.html", status, host=row, form=form, switch=found)
