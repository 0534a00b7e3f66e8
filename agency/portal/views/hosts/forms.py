"""How a host lets us in, and on which terms it serves."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from agency.portal.forms.fields import AddressField, RetuneForm
from pipelines.outbound import Access, AccessRefused
from tenants.models import Client, DriftPolicy, Host

GIB = 2**30
KINDS = (
    ("none", _("nothing: the host is open to this server")),
    ("bearer", _("a bearer token")),
    ("basic", _("user name and password")),
    ("header", _("a header of its own")),
)


class SecretText(forms.Textarea):
    """Never filled in: neither with what is kept nor with what was just refused."""

    def format_value(self, value: Any) -> str:
        return ""


class AccessForm(RetuneForm):
    """What is kept is never shown again: a change is entered whole. `access` is what was given."""

    kind = forms.ChoiceField(label=_("With each request"), choices=KINDS, initial="none")
    header = forms.CharField(
        label=_("Header"), max_length=100, required=False, help_text=_("Only for a header of its own: X-Api-Key")
    )
    user = forms.CharField(label=_("User name"), max_length=200, required=False)
    secret = forms.CharField(
        label=_("Token, password or value"),
        max_length=8000,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    certificate = forms.CharField(
        label=_("Client certificate"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("PEM, with its chain. For a proxy that asks for one (mTLS)."),
    )
    key = forms.CharField(
        label=_("Key of the client certificate"),
        required=False,
        widget=SecretText(attrs={"rows": 3, "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("PEM, without a pass phrase."),
    )
    authority = forms.CharField(
        label=_("Certificate authority of the host"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("PEM. Only where its certificate is not from a public authority."),
    )

    access = Access()

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        try:
            self.access = _access(given).checked()
        except AccessRefused as refused:
            self.add_error({"value": "secret"}.get(refused.field, refused.field), str(refused))
        return given


def _access(given: dict[str, Any]) -> Access:
    tls = {name: given.get(name, "").strip() for name in ("certificate", "key", "authority")}
    secret, kind = given.get("secret", ""), given.get("kind")
    if kind in ("bearer", "basic") and not secret:
        raise AccessRefused("value", str(_("Enter it: what was kept before is not shown again.")))
    match kind:
        case "bearer":
            return Access.bearer(secret, **tls)
        case "basic":
            return Access.basic(given.get("user", ""), secret, **tls)
        case "header":
            return Access(given.get("header", ""), secret, **tls)
    return Access(**tls)


class HostForm(AccessForm):
    """An Ollama host of the client, and what we show it."""

    name = forms.RegexField(r"^[a-z0-9]+(-[a-z0-9]+)*$", label=_("Name"), max_length=60)
    url = AddressField(
        label=_("Address"),
        max_length=300,
        assume_scheme="http",
        help_text=_("For example http://10.0.0.5:11434"),
    )
    anyway = forms.BooleanField(
        label=_("Add it although it does not answer"),
        required=False,
        help_text=_("For a host that is not up yet. Nothing can be pushed to it until it answers."),
    )

    def __init__(self, client: Client, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.client = client
        self.fields["kind"].required = False  # Left out: nothing is shown.

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Host.objects.filter(client=self.client, name=name).exists():
            raise ValidationError(gettext("There is a host “%(name)s” already.") % {"name": name})
        return name

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        return url.rstrip("/")


class AgentHostForm(RetuneForm):
    """A host that this server cannot call: its agent calls here."""

    name = forms.RegexField(r"^[a-z0-9]+(-[a-z0-9]+)*$", label=_("Name"), max_length=40)

    def __init__(self, client: Client, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, auto_id="agent-%s", **kwargs)
        self.client = client

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Host.objects.filter(client=self.client, name=name).exists():
            raise ValidationError(gettext("There is a host “%(name)s” already.") % {"name": name})
        return name


class TermsForm(RetuneForm):
    """What models may fill, and what happens when somebody changes the host by hand."""

    memory_gib = forms.FloatField(
        label=_("Memory for models, GiB"),
        min_value=0.1,
        max_value=100_000,
        required=False,
        help_text=_("A host does not tell what it has. Empty: nothing is refused for want of memory."),
    )
    drift_policy = forms.ChoiceField(
        label=_("When something on it was changed by hand"),
        choices=[
            (DriftPolicy.REPORT, _("say so")),
            (DriftPolicy.REPAIR, _("say so, and put back what was placed")),
        ],
    )
    is_enabled = forms.BooleanField(label=_("In use"), required=False)

    @classmethod
    def of(cls, row: Host) -> TermsForm:
        memory = round(row.memory_bytes / GIB, 2) if row.memory_bytes else None
        kept = {"memory_gib": memory, "drift_policy": row.drift_policy, "is_enabled": row.is_enabled}
        return cls(initial=kept)

    def terms(self) -> dict[str, Any]:
        given = self.cleaned_data
        memory = given["memory_gib"]
        fields = {"drift_policy": given["drift_policy"], "is_enabled": given["is_enabled"]}
        return fields | {"memory_bytes": int(memory * GIB) if memory else None}
