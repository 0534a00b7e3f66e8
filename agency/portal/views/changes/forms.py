"""Freezing a place: the agency, a client, or one pipeline; the switches of four eyes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import ReasonForm, RetuneForm
from pipelines.reports.logs import AGENCY_ITSELF
from tenants.freezing import Place
from tenants.models import Agency, Client, Pipeline
from tenants.people.four_eyes import Topic


class FreezeForm(RetuneForm):
    """`pipelines` are (client's short name, own short name): names only, as an agency may have thousands."""

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

    def __init__(
        self, agency: Agency, clients: Iterable[str], pipelines: Iterable[tuple[str, str]], data: Any = None
    ) -> None:
        super().__init__(data)
        self.agency = agency
        names = [*clients, *(f"{client}/{pipeline}" for client, pipeline in pipelines)]
        choices = [(AGENCY_ITSELF, _("The whole agency")), *((name, name) for name in names)]
        self.fields["where"].choices = choices  # type: ignore[attr-defined]

    @property
    def place(self) -> Place:
        """What the chosen value stands for."""
        client, _slash, pipeline = self.cleaned_data["where"].partition("/")
        if client == AGENCY_ITSELF:
            return self.agency
        if not pipeline:
            return Client.objects.get(slug=client)
        return Pipeline.objects.select_related("client").get(client__slug=client, slug=pipeline)


ON_OFF = [("yes", gettext_lazy("two people")), ("no", gettext_lazy("one person"))]
READ = {"yes": True, "no": False, "": None}


class SwitchForm(ReasonForm):
    """A client may also be as its agency says."""

    field_order = ("promotion", "thresholds", "erasure", "reason")
    promotion = forms.ChoiceField(
        label=gettext_lazy("A promotion takes"),
        help_text=gettext_lazy("Approving a held version, or promoting one before its evidence is there."),
    )
    thresholds = forms.ChoiceField(
        label=gettext_lazy("Other thresholds take"),
        help_text=gettext_lazy("Stages, criteria, gates, data checks, rollout, monitor, and waivers of gates."),
    )

    erasure = forms.ChoiceField(
        label=gettext_lazy("Erasing a client takes"), help_text=gettext_lazy("All of it: rows, files, models on hosts.")
    )

    def __init__(self, place: Place, *args: Any, **kwargs: Any) -> None:
        said = {True: "yes", False: "no", None: ""}
        kwargs.setdefault("initial", {t.value: said[getattr(place, t.column)] for t in Topic})
        super().__init__(*args, **kwargs)
        as_agency = [("", gettext_lazy("as the agency says"))] if isinstance(place, Client) else []
        for topic in Topic:
            field = self.fields[topic.value]
            field.choices = [*as_agency, *ON_OFF]  # type: ignore[attr-defined]
            field.required = not as_agency

    @property
    def wanted(self) -> dict[Topic, bool | None]:
        return {topic: READ[self.cleaned_data[topic.value]] for topic in Topic}
