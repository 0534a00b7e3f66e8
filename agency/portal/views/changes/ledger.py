"""What served this client at a time, and what changed between two; the times live in the address."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.actor import open_client
from agency.portal.context import client_page
from agency.portal.forms.fields import RetuneForm, WallTimeField
from pipelines.reports.changes.ledger import changed_between, served_at
from tenants import access

MONTH = timedelta(days=30)
PARTS = ("settings", "hosts", "keys", "people", "waivers", "freezes")


class LedgerForm(RetuneForm):
    """Times in the client's time zone."""

    since = WallTimeField(label=gettext_lazy("Changes since"))
    at = WallTimeField(label=gettext_lazy("What served at"), is_last=True)

    def clean(self) -> dict[str, datetime]:
        found = super().clean() or {}
        if "at" in found and "since" in found and found["since"] > found["at"]:
            raise forms.ValidationError(_("The first time must not be after the second."))
        return found


def ledger(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.VIEW)
    now = timezone.now()
    with timezone.override(row.zone):
        local = {name: f"{timezone.localtime(at):%Y-%m-%dT%H:%M}" for name, at in (("since", now - MONTH), ("at", now))}
        # To the whole minute of the box: what happened within it belongs to it.
        form = LedgerForm(local | {name: value for name, value in request.GET.items() if value})
        if not form.is_valid():
            return client_page(request, row, "portal/changes/ledger.html", 422, form=form)
    since, at = form.cleaned_data["since"], form.cleaned_data["at"] + timedelta(seconds=59.999999)
    answer, changes = served_at(row, at), changed_between(row, since, at)
    around = [(part, sorted(getattr(answer.picture, part).items())) for part in PARTS]
    given = {"form": form, "answer": answer, "changes": changes, "around": around, "since": since, "at": at}
    return client_page(request, row, "portal/changes/ledger.html", **given)
