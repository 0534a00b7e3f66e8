"""The form by which a judge model is allowed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import AddressField, RetuneForm, judged
from pipelines.judges import JUDGES
from tenants.models import Client, JudgeEndpoint


class JudgeForm(RetuneForm):
    """A judge model; the box is the client's consent and is asked for each one."""

    name = forms.RegexField(r"^[a-z0-9]+(-[a-z0-9]+)*$", label=gettext_lazy("Name"), max_length=60)
    kind = forms.ChoiceField(label=gettext_lazy("Speaks"), choices=[(name, name) for name in sorted(JUDGES)])
    url = AddressField(
        label=gettext_lazy("Address"),
        max_length=300,
        assume_scheme="http",
        help_text=gettext_lazy("ollama: http://10.0.0.5:11434. openai: up to where /chat/completions begins."),
    )
    model = forms.CharField(label=gettext_lazy("Model"), max_length=200)
    key_name = forms.ChoiceField(label=gettext_lazy("Key"), required=False)
    consent = forms.BooleanField(
        label=gettext_lazy("The client allows that its conversations and answers are sent to this address"),
    )

    def __init__(self, client: Client, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.client = client
        names = [(name, name) for name in sorted(settings.JUDGE_KEYS)]
        self.fields["key_name"].choices = [("", gettext_lazy("none")), *names]  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if JudgeEndpoint.objects.filter(client=self.client, name=name, withdrawn_at=None).exists():
            raise ValidationError(_("There is a judge “%(name)s” already.") % {"name": name})
        return name

    def clean_url(self) -> str:
        return judged(self.cleaned_data["url"]).rstrip("/")

    def fields_of_row(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in ("name", "kind", "url", "model", "key_name")}
