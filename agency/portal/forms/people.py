"""Forms of the first visit, of clients, hosts, keys and people."""

from __future__ import annotations

from collections.abc import Sequence

from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import ReasonForm, RetuneForm, ShortNameField
from tenants import naming
from tenants.access import KEY_VERBS
from tenants.models import Client, Role

SLUG_HINT = gettext_lazy(
    "Small letters, digits and hyphens. It is part of model names on hosts and cannot change later."
)


class PasswordMixin(forms.Form):
    """A new password, checked by the installation's rules."""

    password = forms.CharField(
        label=gettext_lazy("Password"),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("At least 12 characters."),
    )

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        password_validation.validate_password(password)
        return password


class SetupForm(RetuneForm, PasswordMixin):
    """The agency and its owner."""

    field_order = ("token", "name", "slug", "email", "password")
    token = forms.CharField(
        label=gettext_lazy("Setup token"), help_text=gettext_lazy("Printed on the console of the server.")
    )
    name = forms.CharField(label=gettext_lazy("Name of the agency"), max_length=200)
    slug = forms.SlugField(
        label=gettext_lazy("Short name"), max_length=60, help_text=gettext_lazy("Small letters, digits and hyphens.")
    )
    email = forms.EmailField(label=gettext_lazy("Your e-mail address"))


class ClientForm(RetuneForm):
    """A new client."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    slug = ShortNameField(naming.CLIENT_RESERVED, help_text=SLUG_HINT)
    timezone = forms.CharField(
        label=gettext_lazy("Time zone"),
        initial="Europe/Madrid",
        help_text=gettext_lazy("Schedules run in it, for example Europe/Madrid."),
    )

    def clean_timezone(self) -> str:
        try:
            return naming.time_zone(self.cleaned_data["timezone"])
        except naming.BadName as bad:
            raise ValidationError(str(bad)) from bad


class KeyForm(RetuneForm):
    """A key for a program."""

    name = forms.CharField(label=gettext_lazy("What it is for"), max_length=100)
    verbs = forms.MultipleChoiceField(
        label=gettext_lazy("What it may do"), choices=list(KEY_VERBS.items()), widget=forms.CheckboxSelectMultiple
    )
    requests_per_minute = forms.IntegerField(
        label=gettext_lazy("Requests to models a minute"), min_value=1, max_value=1_000_000, required=False
    )
    tokens_per_minute = forms.IntegerField(
        label=gettext_lazy("Tokens a minute"),
        min_value=1,
        max_value=1_000_000_000,
        required=False,
        help_text=gettext_lazy("Empty: no limit. Each gateway process counts for itself."),
    )


class MemberForm(RetuneForm):
    """Who is invited: staff of the agency or of one client, or a reader of a client."""

    email = forms.EmailField(label=gettext_lazy("E-mail address"))
    role = forms.ChoiceField(
        label=gettext_lazy("Role"),
        choices=[
            (Role.READER, gettext_lazy("reader: the client's report only")),
            (Role.VIEWER, gettext_lazy("viewer: sees the client's pages")),
            (Role.ENGINEER, gettext_lazy("engineer: operates and configures")),
        ],
    )


class PersonForm(MemberForm):
    """The same on the agency's page, where a client may be named."""

    client = forms.ChoiceField(
        label=gettext_lazy("Client"),
        required=False,
        help_text=gettext_lazy("For a reader: whose report. For staff: the only one they see; empty for all."),
    )

    def __init__(self, clients: Sequence[tuple[str, str]], *args: object, **kwargs: object) -> None:
        """`clients`: short name and name of each."""
        super().__init__(*args, **kwargs)
        self.fields["client"].choices = [("", "–"), *clients]  # type: ignore[attr-defined]
        owner = (Role.OWNER, gettext_lazy("owner: also keys and people"))
        self.fields["role"].choices = [*self.fields["role"].choices, owner]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, object]:
        given: dict[str, object] = super().clean() or {}
        client = given.get("client")
        if given.get("role") == Role.READER and not client:
            self.add_error("client", _("A reader belongs to a client: choose whose report it is."))
        if given.get("role") == Role.OWNER and client:
            self.add_error("client", _("An owner sees every client: leave the client empty."))
        return given

    @property
    def place(self) -> Client | None:
        """The client that was chosen, inside the agency's scope."""
        found: Client | None = Client.objects.filter(slug=self.cleaned_data["client"]).first()
        return found


class RoleForm(ReasonForm):
    """Another role for staff."""

    field_order = ("role", "reason")
    role = forms.ChoiceField(
        label=gettext_lazy("Role"),
        choices=[
            (Role.VIEWER, gettext_lazy("viewer")),
            (Role.ENGINEER, gettext_lazy("engineer")),
            (Role.OWNER, gettext_lazy("owner")),
        ],
    )


class AcceptForm(RetuneForm, PasswordMixin):
    """A new account for somebody who was invited."""

    field_order = ("name", "password")
    name = forms.CharField(
        label=gettext_lazy("Your name"), max_length=200, help_text=gettext_lazy("Clients see it where you approve.")
    )
