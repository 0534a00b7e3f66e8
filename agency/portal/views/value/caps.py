"""What the agency, and each of its clients, may use at most, and how much of it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.actor import open_agency, open_client
from agency.htmx import go
from agency.portal.context import client_page, who
from agency.portal.forms.fields import RetuneForm
from pipelines.usage import used
from tenants import access, scope
from tenants.billing import caps, terms_of
from tenants.models import Agency, Cap, CapKind, Client

LABELS = {
    CapKind.RUNS: gettext_lazy("Live runs"),
    CapKind.PIPELINES: gettext_lazy("Pipelines"),
    CapKind.BYTES: gettext_lazy("Uploads and models kept, GiB"),
    CapKind.SPEND: gettext_lazy("Computing a month, by your prices"),
    CapKind.TOKENS: gettext_lazy("Tokens at the gateway a month"),
}
UNITS = {CapKind.BYTES: caps.GIB, CapKind.SPEND: caps.CENTS}
LARGEST = 10**12


class CapsForm(RetuneForm):
    """One field for each kind; empty is no cap."""

    def __init__(self, held: Mapping[str, int], *args: Any, **kwargs: Any) -> None:
        initial = {kind: Decimal(most) / UNITS.get(CapKind(kind), 1) for kind, most in held.items()}
        super().__init__(*args, initial=initial, **kwargs)
        for kind, label in LABELS.items():
            places = 2 if kind in UNITS else 0
            field = forms.DecimalField(
                label=label, required=False, min_value=Decimal(0), max_value=Decimal(LARGEST), decimal_places=places
            )
            field.widget.attrs["class"] = "form-control"
            self.fields[kind] = field

    @property
    def caps(self) -> dict[str, int | None]:
        typed = self.cleaned_data
        return {k: None if typed[k] is None else int(typed[k] * UNITS.get(CapKind(k), 1)) for k in LABELS}


@dataclass(frozen=True)
class Line:
    """One kind: what is used of it, and its cap in words (empty: none)."""

    label: Promise
    used: str
    most: str
    percent: int


def agency_caps(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request, access.ADMINISTER if request.method == "POST" else access.VIEW)
    agency = Agency.objects.get(pk=actor.agency_id or 0)
    form, is_saved = _form(request, agency, None)
    if is_saved:
        return go(request, reverse("caps"))
    capped = Cap.objects.filter(agency=agency, client__isnull=False).values("client")
    shown = {"lines": _lines(agency.pk, None), "clients": Client.objects.filter(pk__in=capped), "form": form}
    shown |= {"currency": terms_of(agency.pk).currency, "may_administer": actor.may(access.ADMINISTER)}
    return TemplateResponse(request, "portal/value/caps.html", shown, status=422 if form.errors else 200)


def client_caps(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.ADMINISTER if request.method == "POST" else access.VIEW)
    form, is_saved = _form(request, row.agency, row)
    if is_saved:
        return go(request, reverse("client-caps", args=[slug]))
    shown = {"lines": _lines(row.agency_id, row.pk), "form": form, "currency": terms_of(row.agency_id).currency}
    return client_page(request, row, "portal/value/client_caps.html", 422 if form.errors else 200, **shown)


def _form(request: HttpRequest, agency: Agency, client: Client | None) -> tuple[CapsForm, bool]:
    """The form, and whether what was typed is saved."""
    held = caps.caps_of(agency.pk, client.pk if client else None)
    form = CapsForm(held, request.POST) if request.method == "POST" else CapsForm(held)
    if request.method != "POST" or not form.is_valid():
        return form, False
    with scope.agency_scope(agency.pk):
        is_changed = caps.set_caps(agency, client, form.caps, who(request), timezone.now())
    messages.success(request, _("Saved. What is over a cap now stays; nothing is added to it."))
    return form, is_changed or not form.errors


def _lines(agency_id: int, client_id: int | None) -> list[Line]:
    held, now = caps.caps_of(agency_id, client_id), timezone.now()
    with scope.agency_scope(agency_id):
        amounts = {kind: used(CapKind(kind), agency_id, client_id, now) for kind in LABELS}
    return [_line(kind, label, amounts[kind], held.get(kind)) for kind, label in LABELS.items()]


def _line(kind: str, label: Promise, amount: int, most: int | None) -> Line:
    said = "" if most is None else caps.in_words(kind, most)
    percent = 100 if most == 0 else min(100, round(100 * amount / most)) if most else 0
    return Line(label, caps.in_words(kind, amount), said, percent)
