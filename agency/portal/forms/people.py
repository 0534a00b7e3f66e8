"""Forms of the first visit, of clients, hosts, keys and people."""

from __future__ import annotations

from zoneinfo import available_timezones

from django import forms
from django.contrib.auth import password_validation
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import RetuneForm, dress
from tenants.access import KEY_VERBS
from tenants.models import Client, Host, Role

SLUG_HINT = gettext_lazy(
    "Small letters, digits and hyphens. It is part of model names on hosts and cannot change later."
)


class SignInForm(AuthenticationForm):
    """By e-mail address and password."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.label_suffix = ""
        for field in self.fields.values():
            dress(field.widget)


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
    slug = forms.RegexField(
        r"^[a-z0-9]+(-[a-z0-9]+)*$", label=gettext_lazy("Short name"), max_length=60, help_text=SLUG_HINT
    )
    timezone = forms.CharField(
        label=gettext_lazy("Time zone"),
        initial="Europe/Madrid",
        help_text=gettext_lazy("Schedules run in it, for example Europe/Madrid."),
    )

    def clean_timezone(self) -> str:
        name: str = self.cleaned_data["timezone"]
        if name not in available_timezones():
            raise ValidationError(
                _("There is no time zone “%(name)s”. Write for example Europe/Madrid.") % {"name": name}
            )
        return name


class HostForm(RetuneForm):
    """An Ollama host of the client."""

    name = forms.RegexField(r"^[a-z0-9]+(-[a-z0-9]+)*$", label=gettext_lazy("Name"), max_length=60)
    url = forms.URLField(
        label=gettext_lazy("Address"),
        max_length=300,
        assume_scheme="http",
        help_text=gettext_lazy("For example http://10.0.0.5:11434"),
    )

    def __init__(self, client: Client, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.client = client

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Host.objects.filter(client=self.client, name=name).exists():
            raise ValidationError(_("There is a host “%(name)s” already.") % {"name": name})
        return name


class KeyForm(RetuneForm):
    """A key for a program."""

    name = forms.CharField(label=gettext_lazy("What it is for"), max_length=100)
    verbs = forms.MultipleChoiceField(
        label=gettext_lazy("What it may do"), choices=list(KEY_VERBS.items()), widget=forms.CheckboxSelectMultiple
    )


class MemberForm(RetuneForm, PasswordMixin):
    """A person: staff of the agency, or a reader of one client."""

    field_order = ("email", "role", "password")
    email = forms.EmailField(label=gettext_lazy("E-mail address"))
    role = forms.ChoiceField(
        label=gettext_lazy("Role"),
        choices=[
            (Role.READER, gettext_lazy("reader: this client's report only")),
            (Role.VIEWER, gettext_lazy("viewer: sees every client")),
            (Role.ENGINEER, gettext_lazy("engineer: operates and configures")),
            (Role.OWNER, gettext_lazy("owner: also keys and people")),
        ],
    )
