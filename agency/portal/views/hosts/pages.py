"""One host: how it does and did, what is on it, how we are let in; and what a person may change about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from agency.actor import open_client
from agency.htmx import go, partials
from agency.machines.programs import AGENT, offered
from agency.portal.context import client_page, who
from agency.portal.forms.fields import ReasonForm
from agency.portal.probe import ask, keep
from agency.portal.views.hosts.forms import AccessForm, TermsForm
from pipelines.actions import ActionRefused
from pipelines.actions import hosts as acts
from pipelines.machines.agents import line_of
from pipelines.reports.hosts import host_page
from pipelines.shipping.back.drills import latest_by_host
from tenants import access
from tenants.models import Client, Host

TOKEN = "new_agent"


def open_host(request: HttpRequest, slug: str, name: str, verb: str) -> tuple[Client, Host]:
    """Authorised and found, or 404."""
    client = open_client(request, slug, verb)
    host = Host.objects.filter(client=client, name=name).first()
    if host is None:
        raise Http404
    return client, host


def host(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    client, row = open_host(request, slug, name, access.VIEW)
    return page_of(request, client, row)


def page_of(
    request: HttpRequest,
    client: Client,
    row: Host,
    status: int = 200,
    access_form: AccessForm | None = None,
    terms_form: TermsForm | None = None,
) -> HttpResponse:
    forms = {"access_form": access_form or AccessForm(), "terms_form": terms_form or TermsForm.of(row)}
    now = timezone.now()
    shown: dict[str, Any] = {"page": host_page(row, now), "drilled": latest_by_host(client.pk).get(row.name)}
    shown |= {"agent": line_of(row, now), "token": _new_token(request, row), "origin": _origin(request)}
    shown["offered"] = offered(AGENT)
    return client_page(request, client, "portal/hosts/host.html", status, host=row, **shown, **forms)


def _new_token(request: HttpRequest, row: Host) -> str:
    """Told this once."""
    made: list[Any] = request.session.get(TOKEN, [0, ""])
    if made[0] != row.pk:
        return ""
    del request.session[TOKEN]
    return str(made[1])


def _origin(request: HttpRequest) -> str:
    return request.build_absolute_uri("/").rstrip("/")


def _back(request: HttpRequest, row: Host, slug: str) -> HttpResponse:
    return go(request, reverse("host", args=[slug, row.name]))


@require_POST
def probe_host(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    _client, row = open_host(request, slug, name, access.CONFIGURE)
    messages.info(request, keep(row, ask(row), timezone.now()))
    return _back(request, row, slug)


@require_POST
def change_access(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    client, row = open_host(request, slug, name, access.CONFIGURE)
    form = AccessForm(request.POST)
    if not form.is_valid():
        return page_of(request, client, row, 422, access_form=form)
    acts.set_access(row, form.access, actor=who(request), now=timezone.now())
    row.refresh_from_db()
    messages.success(request, _("Kept, and not shown again. %(said)s") % {"said": keep(row, ask(row), timezone.now())})
    return _back(request, row, slug)


@require_POST
def change_terms(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    client, row = open_host(request, slug, name, access.CONFIGURE)
    form = TermsForm(request.POST)
    if not form.is_valid():
        return page_of(request, client, row, 422, terms_form=form)
    acts.set_terms(row, actor=who(request), now=timezone.now(), **form.terms())
    messages.success(request, _("Kept."))
    return _back(request, row, slug)


@dataclass(frozen=True)
class Switch:
    button: str | Promise
    says: str | Promise
    done: str | Promise
    act: Callable[..., None]


SWITCHES = {
    "drain": Switch(
        gettext_lazy("Drain"),
        gettext_lazy(
            "It takes no new version, and no traffic that another host can take. What only it can serve stays; "
            "a rollback may still use it."
        ),
        gettext_lazy("Host %(name)s is drained. Gateways follow within ten seconds."),
        acts.drain,
    ),
    "undrain": Switch(
        gettext_lazy("Take versions again"),
        gettext_lazy("It takes versions and traffic like the client's other hosts."),
        gettext_lazy("Host %(name)s takes versions again."),
        acts.undrain,
    ),
}


@partials(dialog_body="portal/hosts/_switch.html")
def switch(request: HttpRequest, slug: str, name: str, order: str) -> HttpResponse:
    """Asks on GET and acts on POST."""
    client, row = open_host(request, slug, name, access.OPERATE)
    form, found = ReasonForm(request.POST or None), SWITCHES[order]
    if request.method == "POST" and form.is_valid():
        try:
            found.act(row, actor=who(request), reason=form.cleaned_data["reason"], now=timezone.now())
            messages.success(request, str(found.done) % {"name": row.name})
            return _back(request, row, slug)
        except ActionRefused as refused:
            form.add_error(None, str(refused))
    status = 422 if form.errors else 200
    return client_page(request, client, "portal/hosts/switch.html", status, host=row, form=form, switch=found)
