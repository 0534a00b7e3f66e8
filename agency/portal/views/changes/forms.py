"""Freezing a place: the agency, a client, or one pipeline."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import RetuneForm
from tenants.freezing import Place
from tenants.models import Agency, Client, Pipeline


class FreezeForm(RetuneForm):
    """`place` is what the chosen value stands for."""

    where = forms.ChoiceField(label=gettext_lazy("Where"))
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=500, help_text=gettext_lazy("Kept in the ledger with your name.")
    )
    days = forms.IntegerField(
        label=gettext_lazy("For days"),
        required=False,
        min_value=1,
        max_value=365,
        help_text=gettext_lazy("Empty: until somebody lifts it."),
    )

    def __init__(self, agency: Agency, clients: list[Client], pipelines: list[Pipeline], data: Any = None) -> None:
        super().__init__(data)
        self.places: dict[str, Place] = {"agency": agency}
        self.places |= {row.slug: row for row in clients}
        self.places |= {f"{row.client.slug}/{row.slug}": row for row in pipelines}
        shown = {"agency": _("The whole agency")} | {name: name for name in self.places if name != "agency"}
        self.fields["where"].choices = list(shown.items())  # type: ignore[attr-defined]

    @property
    def place(self) -> Place:
        return self.places[self.cleaned_data["where"]]
