"""Freezes: what holds rollouts now, what held them before, setting one and lifting it."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import Actor, open_agency
from agency.htmx import go, partials
from agency.portal.context import who
from agency.portal.forms.fields import ReasonForm
from agency.portal.paging import paged
from agency.portal.views.changes.forms import FreezeForm
from tenants import access, freezing
from tenants.models import Agency, Client, Freeze, Pipeline

LINES_A_PAGE = 40


def freezes(request: HttpRequest) -> HttpResponse:
    """Staff see them; whoever may configure sets one."""
    if request.method != "POST":
        actor = open_agency(request)
        return _page(request, actor, _form(actor))
    actor = open_agency(request, access.CONFIGURE)
    form = _form(actor, request)
    if not form.is_valid():
        return _page(request, actor, form, 422)
    now, days = timezone.now(), form.cleaned_data["days"]
    ends_at = now + timedelta(days=days) if days else None
    row = freezing.freeze(form.place, actor=who(request), reason=form.cleaned_data["reason"], now=now, ends_at=ends_at)
    messages.success(request, _("%(place)s is frozen: rollouts wait, rollbacks go on.") % {"place": row.place})
    return go(request, reverse("freezes"))


def _form(actor: Actor, request: HttpRequest | None = None) -> FreezeForm:
    agency = Agency.objects.get(pk=actor.agency_id or 0)
    clients = Client.objects.values_list("slug", flat=True)
    pipelines = Pipeline.objects.order_by("client__slug", "slug").values_list("client__slug", "slug")
    return FreezeForm(agency, clients, pipelines, request.POST if request else None)


def _page(request: HttpRequest, actor: Actor, form: FreezeForm, status: int = 200) -> HttpResponse:
    rows = Freeze.objects.select_related("client", "pipeline")
    page, now = paged(request, rows, LINES_A_PAGE), timezone.now()
    held = {row.pk for row in freezing.in_force(rows, now)}
    given = {"page": page, "form": form, "held": held, "may_configure": actor.may(access.CONFIGURE)}
    return TemplateResponse(request, "portal/changes/freezes.html", given, status=status)


@partials(dialog_body="portal/changes/_lift.html")
def lift(request: HttpRequest, freeze: int) -> HttpResponse:
    """Asks on GET and acts on POST."""
    open_agency(request, access.CONFIGURE)
    row = Freeze.objects.select_related("client", "pipeline").filter(pk=freeze).first()
    if row is None:
        raise Http404
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            freezing.lift(row, actor=who(request), reason=form.cleaned_data["reason"], now=timezone.now())
            messages.success(request, freezing.lifted_words(row, timezone.now()))
            return go(request, reverse("freezes"))
        except freezing.FreezeRefused as refused:
            form.add_error(None, str(refused))
    given = {"row": row, "form": form}
    return TemplateResponse(request, "portal/changes/lift.html", given, status=422 if form.errors else 200)
