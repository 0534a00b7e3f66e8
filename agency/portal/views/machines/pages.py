"""Machines that pull jobs: added with a token that is shown once, trusted, paused, revoked; and what they do now."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agency.actor import Actor, open_agency
from agency.htmx import go, partials
from agency.machines.programs import WORKER, offered
from agency.portal.context import who
from agency.portal.forms.fields import ReasonForm
from agency.portal.views.machines.forms import MachineForm
from pipelines.machines import page
from tenants import access
from tenants.machines import MachineRefused, add_machine, change_machine
from tenants.models import Agency, Machine


def machines(request: HttpRequest) -> HttpResponse:
    """Staff see how their machines do; an owner adds one."""
    if request.method == "POST":
        return _add(request, open_agency(request, access.ADMINISTER))
    return _page(request, open_agency(request), MachineForm())


def _page(request: HttpRequest, actor: Actor, form: MachineForm, status: int = 200) -> HttpResponse:
    now = timezone.now()
    given = {
        "lines": page.lines(now),
        "waiting": list(page.waiting(now)),
        "form": form,
        "may_administer": actor.may(access.ADMINISTER),
        "offered": offered(WORKER),
        "token": request.session.pop("new_machine", ""),
        "address": request.build_absolute_uri("/").rstrip("/"),
    }
    return TemplateResponse(request, "portal/machines/machines.html", given, status=status)


def _add(request: HttpRequest, actor: Actor) -> HttpResponse:
    form = MachineForm(request.POST)
    if form.is_valid():
        agency, given = Agency.objects.get(pk=actor.agency_id or 0), form.cleaned_data
        try:
            asked = (agency, given["name"], given["queues"], given["is_trusted"])
            _row, token = add_machine(*asked, actor=who(request), now=timezone.now())
        except MachineRefused as refused:
            form.add_error("name", str(refused))
        else:
            request.session["new_machine"] = token
            return go(request, reverse("machines"))
    return _page(request, actor, form, 422)


@dataclass(frozen=True)
class Order:
    button: str | Promise
    says: str | Promise


ORDERS = {
    "trust": Order(_("Trust"), _("It is given evaluations too: what it says of a version is what the gates judge.")),
    "distrust": Order(_("Trust no more"), _("It is given no evaluations any more. What it measured stays.")),
    "pause": Order(
        _("Pause"), _("It may end the job in hand and is given no other. What only it could do is done here meanwhile.")
    ),
    "resume": Order(_("Resume"), _("It is given jobs again.")),
    "revoke": Order(
        _("Revoke"), _("Its token opens nothing any more. The job in hand is taken over when its lease is over.")
    ),
}


@partials(dialog_body="portal/machines/_order.html")
def order(request: HttpRequest, machine: int, name: str) -> HttpResponse:
    """Asks on GET and acts on POST."""
    open_agency(request, access.ADMINISTER)
    row = Machine.objects.select_related("agency").filter(pk=machine, revoked_at=None).first()
    if row is None or name not in ORDERS:
        raise Http404
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        change_machine(row, name, actor=who(request), reason=reason, now=timezone.now())
        messages.success(request, _("Done: %(order)s %(name)s.") % {"order": ORDERS[name].button, "name": row.name})
        return go(request, reverse("machines"))
    given = {"form": form, "machine": row, "order": ORDERS[name]}
    return TemplateResponse(request, "portal/machines/order.html", given, status=422 if form.errors else 200)
