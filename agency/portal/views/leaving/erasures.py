"""Leave and forget: the page of a client, the page of the agency, and the erasure of a client for good."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from agency.actor import open_agency, open_client
from agency.htmx import go
from agency.leaving.erasing import carry_out
from agency.portal.context import client_page, who
from agency.portal.forms.fields import ReasonForm
from agency.portal.views.changes.four_eyes import proposed_words
from pipelines.actions.clients.erasure import order_erasure
from pipelines.actions.refused import ActionRefused
from pipelines.actions.two_people.acts import propose_erasure
from pipelines.domain.transitions import LIVE_RUNS
from pipelines.models import Run
from tenants import access, scope
from tenants.models import Agency, Client, Erasure
from tenants.people.four_eyes import Topic, asks


class EraseForm(ReasonForm):
    """The client's name, typed: nobody erases one by a slip."""

    field_order = ("name", "reason", "end_runs")
    name = forms.CharField(label=gettext_lazy("The client's name, as it stands above"), max_length=200)
    end_runs = forms.BooleanField(
        label=gettext_lazy("End the runs that are under way"),
        required=False,
        help_text=gettext_lazy("Else they keep it."),
    )


def client(request: HttpRequest, slug: str) -> HttpResponse:
    return _page(request, open_client(request, slug, access.ADMINISTER), EraseForm())


def _page(request: HttpRequest, row: Client, form: EraseForm, status: int = 200) -> HttpResponse:
    live = Run.objects.filter(client=row, status__in=LIVE_RUNS).count()
    with scope.agency_scope(row.agency_id):
        order = Erasure.objects.filter(former_id=row.pk).first()
    given = {"form": form, "live": live, "order": order, "takes_two": asks(row, Topic.ERASURE)}
    return client_page(request, row, "portal/leaving/client.html", status, **given)


@require_POST
def erase(request: HttpRequest, slug: str) -> HttpResponse:
    row, form = open_client(request, slug, access.ADMINISTER), EraseForm(request.POST)
    if not form.is_valid():
        return _page(request, row, form, 422)
    # The certificate is the agency's, and so are memberships: a client's scope cannot see them.
    with scope.agency_scope(row.agency_id):
        try:
            return _ordered(request, row, form)
        except ActionRefused as refused:
            form.add_error(None, str(refused))
    return _page(request, row, form, 422)


def _ordered(request: HttpRequest, row: Client, form: EraseForm) -> HttpResponse:
    given, now = form.cleaned_data, timezone.now()
    said = {"actor": who(request), "reason": given["reason"], "now": now}
    if asks(row, Topic.ERASURE):
        propose_erasure(row, given["name"], **said)
        messages.success(request, proposed_words())
        return go(request, reverse("client-four-eyes", args=[row.slug]))
    order = order_erasure(row, given["name"], ends_runs=given["end_runs"], **said)
    done = carry_out(order, timezone.now())
    messages.success(request, _("%(name)s is erased. Keep its certificate.") % {"name": done.name})
    return go(request, reverse("agency-leaving"))


def agency(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request, access.ADMINISTER)
    given = {"agency": Agency.objects.get(pk=actor.agency_id or 0), "clients": Client.objects.order_by("name")}
    return TemplateResponse(request, "portal/leaving/agency.html", given | {"erasures": Erasure.objects.all()})


@require_POST
def go_on(request: HttpRequest, erasure: int) -> HttpResponse:
    """Carries out what a second person confirmed, or what broke off."""
    row = _find(request, erasure)
    try:
        carry_out(row, timezone.now())
        messages.success(request, _("%(name)s is erased. Keep its certificate.") % {"name": row.name})
    except ActionRefused as refused:
        messages.error(request, str(refused))
    return go(request, reverse("agency-leaving"))


def certificate_file(request: HttpRequest, erasure: int) -> HttpResponse:
    row = _find(request, erasure)
    if not row.is_done:
        raise Http404
    name = f'attachment; filename="{row.slug}-erased.json"'
    return HttpResponse(row.certificate, content_type="application/json", headers={"Content-Disposition": name})


def _find(request: HttpRequest, erasure: int) -> Erasure:
    open_agency(request, access.ADMINISTER)
    row = Erasure.objects.select_related("agency").filter(pk=erasure).first()
    if row is None:
        raise Http404
    return row
