"""Channels: where notices go beside mail, with the log of what was sent there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import Max, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from agency.htmx import go
from agency.mail.channels.trial import send_trial_event
from agency.portal.context import who
from agency.portal.paging import paged
from agency.portal.views.telling.desk import Desk, at_desk
from agency.portal.views.telling.forms import WORDS, ChannelForm, KindsForm
from pipelines.models import Delivery
from pipelines.notifiers.webhook import new_secret
from pipelines.outbox import deliveries
from tenants.models import Agency, Channel
from tenants.sharing import StaleEdit
from tenants.telling.channels import add_channel, change_kinds, remove_channel, rotate, switch_channel

LINES_A_PAGE = 40
NEW_SECRET = "new_channel_secret"


@at_desk
def channels(request: HttpRequest, desk: Desk) -> HttpResponse:
    """Staff see them; whoever may configure adds one."""
    agency = Agency.objects.get(pk=desk.agency_id)
    form = ChannelForm(agency, desk.offered(), request.POST or None, with_agency=desk.clients is None)
    if request.method == "POST" and form.is_valid():
        leads = form.leads()
        kinds = form.cleaned_data["kinds"]
        made = add_channel(form.place, form.named, leads, kinds, actor=who(request), now=timezone.now())
        if leads.secret:
            request.session[NEW_SECRET] = [made.pk, leads.secret]
        return go(request, reverse("channel", args=[made.pk]))
    rows = desk.channels().annotate(last_at=Max("deliveries__sent_at"))
    given = {"rows": rows, "form": form, "words": WORDS, "may_configure": desk.may_configure}
    status = 422 if form.errors else 200
    return TemplateResponse(request, "portal/telling/channels.html", given, status=status)


@at_desk
def channel(request: HttpRequest, desk: Desk, channel: int) -> HttpResponse:
    """One channel: what it is told, what was sent; a new secret is shown this once."""
    row = _row(desk, channel)
    form = KindsForm(request.POST or None, initial={"kinds": row.kinds, "revision": row.revision})
    if request.method == "POST" and form.is_valid():
        try:
            change_kinds(row, form.cleaned_data["kinds"], form.cleaned_data["revision"], who(request), timezone.now())
            messages.success(request, _("Saved."))
            return go(request, reverse("channel", args=[row.pk]))
        except StaleEdit as problem:
            form.add_error(None, f"{problem} {_('Now it is told')}: {problem.changes[0][1]}.")
    given = {"row": row, "form": form, "page": paged(request, _log(row), LINES_A_PAGE), "words": WORDS}
    given |= {"may_configure": desk.may_configure, "secret": _told_once(request, row)}
    return TemplateResponse(request, "portal/telling/channel.html", given, status=422 if form.errors else 200)


def _told_once(request: HttpRequest, row: Channel) -> str:
    said = request.session.get(NEW_SECRET)
    if not said or said[0] != row.pk:
        return ""
    del request.session[NEW_SECRET]
    return str(said[1])


def _log(row: Channel) -> QuerySet[Delivery]:
    rows: QuerySet[Delivery] = Delivery.objects.filter(channel=row)
    return rows.select_related("notice", "notice__client", "notice__pipeline")


def _row(desk: Desk, pk: int) -> Channel:
    found = desk.channels().filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


@require_POST
@at_desk
def act(request: HttpRequest, desk: Desk, channel: int, name: str) -> HttpResponse:
    """Tries it, gives it a new secret, switches or removes it."""
    row, known = _row(desk, channel), ACTS.get(name)
    if known is None or (name == "rotate" and row.kind != "webhook"):
        raise Http404
    return go(request, known(request, row, timezone.now()))


def _test(request: HttpRequest, row: Channel, now: datetime) -> str:
    is_taken, said = send_trial_event(row, who(request), now)
    (messages.success if is_taken else messages.error)(request, said)
    return reverse("channel", args=[row.pk])


def _rotate(request: HttpRequest, row: Channel, now: datetime) -> str:
    secret = new_secret()
    until = rotate(row, secret, who(request), now)
    request.session[NEW_SECRET] = [row.pk, secret]
    words = {"until": f"{until:%Y-%m-%d %H:%M} UTC"}
    messages.success(request, _("A new secret signs from now on; the one before it too, until %(until)s.") % words)
    return reverse("channel", args=[row.pk])


def _on(request: HttpRequest, row: Channel, now: datetime) -> str:
    switch_channel(row, True, who(request), now)
    return reverse("channel", args=[row.pk])


def _off(request: HttpRequest, row: Channel, now: datetime) -> str:
    switch_channel(row, False, who(request), now)
    return reverse("channel", args=[row.pk])


def _remove(request: HttpRequest, row: Channel, now: datetime) -> str:
    remove_channel(row, who(request), now)
    messages.success(request, _("%(name)s is removed, with its log.") % {"name": row.name})
    return reverse("channels")


ACTS: dict[str, Callable[[HttpRequest, Channel, datetime], str]] = {
    "test": _test,
    "rotate": _rotate,
    "on": _on,
    "off": _off,
    "remove": _remove,
}


@require_POST
@at_desk
def replay(request: HttpRequest, desk: Desk, delivery: int) -> HttpResponse:
    """The same message once more, under the same id."""
    rows = Delivery.objects.filter(channel__in=desk.channels())
    found: Any = rows.select_related("channel", "notice__client").filter(pk=delivery).first()
    if found is None:
        raise Http404
    if not found.channel.is_on:
        messages.error(request, _("The channel is switched off: switch it on first."))
    else:
        deliveries.replay(found, who(request), timezone.now())
        messages.success(request, _("It is sent again under the same id within seconds."))
    return go(request, reverse("channel", args=[found.channel_id]))
