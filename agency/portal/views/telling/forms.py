"""Forms of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.mail.kinds import MAIL_KINDS
from agency.portal.forms.fields import RetuneForm, judged
from pipelines.notifiers.webhook import is_secret, new_secret
from pipelines.outbox import CHANNEL_KINDS
from tenants.models import Agency, Channel, Client
from tenants.telling.channels import Leads

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
WORDS = {
    "slack": gettext_lazy("Chat (Slack's incoming webhook)"),
    "pagerduty": gettext_lazy("On-call (PagerDuty's Events v2)"),
    "webhook": gettext_lazy("Program (Standard Webhooks, signed)"),
}
USUAL = ("held", "failed", "rolled_back", "noticed", "drill_failed", "drift")


def kind_choices() -> list[tuple[str, str]]:
    return [(name, str(MAIL_KINDS[name].verdict)) for name in CHANNEL_KINDS]


class KindsForm(RetuneForm):
    """Which notices a channel takes; `revision` is the one that the editor saw."""

    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("What is told"), choices=kind_choices, widget=forms.CheckboxSelectMultiple, initial=USUAL
    )
    revision = forms.IntegerField(widget=forms.HiddenInput, initial=0)


class ChannelForm(RetuneForm):
    """A new channel."""

    name = forms.RegexField(r"^[a-z0-9]+(-[a-z0-9]+)*$", label=gettext_lazy("Name"), max_length=60)
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), choices=list(WORDS.items()))
    url = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=1000,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("Sealed, and never shown again. Empty for on-call: PagerDuty's own."),
    )
    key = forms.CharField(
        label=gettext_lazy("Integration key"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("For on-call only: the service's routing key."),
    )
    secret = forms.CharField(
        label=gettext_lazy("Signing secret"),
        max_length=120,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("For programs only. Empty: one is made and shown to you once."),
    )
    client = forms.ChoiceField(label=gettext_lazy("Whose notices"), required=False)
    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("What is told"), choices=kind_choices, widget=forms.CheckboxSelectMultiple, initial=USUAL
    )

    def __init__(self, agency: Agency, clients: Sequence[Client], data: Any, with_agency: bool) -> None:
        """`with_agency`: it may also be told of all clients."""
        super().__init__(data)
        self.agency, self.clients = agency, {client.slug: client for client in clients}
        choices = [(client.slug, client.name) for client in clients]
        whole = [("", gettext_lazy("of all clients"))] if with_agency else []
        self.fields["client"].choices = [*whole, *choices]  # type: ignore[attr-defined]
        self.fields["client"].required = not with_agency

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Channel.objects.filter(name=name).exists():
            raise ValidationError(_("There is a channel “%(name)s” already.") % {"name": name})
        return name

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        kind = given.get("kind", "")
        given["url"] = given.get("url") or (PAGERDUTY if kind == "pagerduty" else "")
        if kind == "pagerduty" and not given.get("key"):
            self.add_error("key", _("An on-call service needs its integration key."))
        if kind == "webhook" and given.get("secret") and not is_secret(given["secret"]):
            self.add_error("secret", _("A secret is whsec_ and the base64 of 24 to 64 bytes."))
        if "url" not in self.errors:
            self._check_address(given["url"])
        return given

    def _check_address(self, url: str) -> None:
        try:
            judged(url)
        except ValidationError as refused:
            self.add_error("url", refused if url else _("Enter the address."))

    @property
    def place(self) -> Agency | Client:
        return self.clients.get(self.cleaned_data["client"]) or self.agency

    @property
    def named(self) -> tuple[str, str]:
        return self.cleaned_data["name"], self.cleaned_data["kind"]

    def leads(self) -> Leads:
        """Only what the kind needs is kept; a program's secret is made where none was given."""
        given, (_name, kind) = self.cleaned_data, self.named
        key = given["key"] if kind == "pagerduty" else ""
        secret = (given["secret"] or new_secret()) if kind == "webhook" else ""
        return Leads(given["url"], key, secret)
