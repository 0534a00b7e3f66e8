"""Which mails a member of the staff gets: kinds, clients, and the digest of a week."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.htmx import go
from agency.mail.digest import clients_of
from agency.mail.kinds import MAIL_KINDS
from agency.portal.context import actor_of
from agency.portal.forms.fields import RetuneForm
from pipelines.outbox import MAILED_KINDS
from tenants import scope
from tenants.models import Agency, Client, MailChoice
from tenants.sharing import StaleEdit
from tenants.telling.choices import ALWAYS, choice_of, choose


def kind_choices() -> list[tuple[str, str]]:
    return [(name, str(MAIL_KINDS[name].verdict)) for name in MAILED_KINDS if name not in ALWAYS]


class MailsForm(RetuneForm):
    """Ticked is wanted. `revision` is the one that the editor saw."""

    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Kinds"), choices=kind_choices, widget=forms.CheckboxSelectMultiple, required=False
    )
    clients = forms.MultipleChoiceField(
        label=gettext_lazy("Clients"), widget=forms.CheckboxSelectMultiple, required=False
    )
    digest = forms.BooleanField(
        label=gettext_lazy("One mail on Mondays with the week of all these clients"), required=False
    )
    revision = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, row: MailChoice, clients: Sequence[Client], data: Any = None) -> None:
        wanted = [name for name, _word in kind_choices() if name not in row.off_kinds]
        asked = [client.slug for client in clients if client.pk not in row.off_clients]
        seen = {"kinds": wanted, "clients": asked, "digest": row.due_at is not None, "revision": row.revision}
        super().__init__(data, initial=seen)
        self.row, self.shown = row, clients
        self.fields["clients"].choices = [(one.slug, one.name) for one in clients]  # type: ignore[attr-defined]

    def chosen(self) -> dict[str, Any]:
        """What is off. Clients that this person cannot see stay as they were."""
        given = self.cleaned_data
        shown = {client.pk for client in self.shown}
        off = [client.pk for client in self.shown if client.slug not in given["clients"]]
        kinds = [name for name, _word in kind_choices() if name not in given["kinds"]]
        kept = [pk for pk in self.row.off_clients if pk not in shown]
        return {"off_kinds": kinds, "off_clients": off + kept, "digest": given["digest"]}


def mails(request: HttpRequest) -> HttpResponse:
    """Of the person who is signed in, in the agency where they are staff."""
    actor = actor_of(request)
    if not actor.has_staff_role or not request.user.is_authenticated:
        raise Http404
    agency_id = actor.grants[0].agency_id
    with scope.agency_scope(agency_id):
        return _page(request, Agency.objects.get(pk=agency_id), actor.name)


def _page(request: HttpRequest, agency: Agency, address: str) -> HttpResponse:
    row = choice_of(agency.pk, address)
    form = MailsForm(row, clients_of(agency.pk, address), request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            choose(agency, address, form.chosen(), form.cleaned_data["revision"], timezone.now())
            messages.success(request, _("Saved. It counts from the next mail on."))
            return go(request, reverse("mails"))
        except StaleEdit as problem:
            form.add_error(None, f"{problem} {_('Load the page again.')}")
    given = {"form": form, "row": row, "address": address}
    return TemplateResponse(request, "portal/telling/mails.html", given, status=422 if form.errors else 200).render()
