"""Forms of decisions, uploads and new pipelines."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import AddressesField, LinesField, RetuneForm, ShortNameField, TextsField
from agency.portal.forms.people import SLUG_HINT
from agency.portal.presets import PRESETS
from pipelines.models import ModelVersion
from tenants import naming
from tenants.models import Client, Pipeline

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty")
ON_HOSTS = gettext_lazy("Empty: as it is. Measured on a host only: see “Measure on” in the settings.")


class StartForm(RetuneForm):
    """A run by hand."""

    reason = forms.CharField(label=gettext_lazy("Why now"), max_length=500, required=False)
    force = forms.BooleanField(
        label=gettext_lazy("Even during a cooldown"), required=False, help_text=gettext_lazy("Needs a reason.")
    )


class PromptForm(RetuneForm):
    """Begins with what the version has."""

    system = forms.CharField(
        label=gettext_lazy("System prompt"), required=False, strip=True, widget=forms.Textarea(attrs={"rows": 8})
    )
    replaces = forms.BooleanField(
        label=gettext_lazy("Also where an application sends a system prompt"),
        required=False,
        help_text=gettext_lazy("The gateway then gives this one in its place. Otherwise theirs stands."),
    )
    stop = TextsField(
        label=gettext_lazy("Stop at"),
        required=False,
        help_text=gettext_lazy(
            "Texts that end an answer, one a line; in quotes where one begins or ends with a space or a line break: "
            '"\\nUser:".'
        ),
    )
    num_predict = forms.IntegerField(label=gettext_lazy("Tokens an answer at most"), required=False)
    temperature = forms.FloatField(label=gettext_lazy("Temperature"), required=False, help_text=ON_HOSTS)
    top_p = forms.FloatField(label="top_p", required=False)
    top_k = forms.IntegerField(label="top_k", required=False)
    min_p = forms.FloatField(label="min_p", required=False)
    repeat_penalty = forms.FloatField(label=gettext_lazy("Repeat penalty"), required=False)
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=500)
    force = forms.BooleanField(label=gettext_lazy("Even during a cooldown"), required=False)

    def __init__(self, parent: ModelVersion, *args: Any, **kwargs: Any) -> None:
        has = {"system": parent.system, "replaces": parent.replaces_system} | parent.parameters
        super().__init__(*args, initial=has, **kwargs)

    def parameters(self) -> dict[str, Any]:
        given = {name: self.cleaned_data[name] for name in ("num_predict", *SAMPLING)}
        found = {name: value for name, value in given.items() if value is not None}
        return found | ({"stop": self.cleaned_data["stop"]} if self.cleaned_data["stop"] else {})


class PipelineForm(RetuneForm):
    """A new pipeline from one of three presets; everything can be changed later."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    slug = ShortNameField(naming.PIPELINE_RESERVED, help_text=SLUG_HINT)
    preset = forms.ChoiceField(
        label=gettext_lazy("What the model does"),
        choices=[(name, p.label) for name, p in PRESETS.items()],
        widget=forms.RadioSelect,
    )
    labels = LinesField(
        label=gettext_lazy("Labels"),
        required=False,
        help_text=gettext_lazy("Classification only: the closed set, one a line."),
    )
    fields_ = LinesField(
        label=gettext_lazy("JSON fields"),
        required=False,
        help_text=gettext_lazy("Extraction only: names of the fields, one a line."),
    )
    base = forms.ChoiceField(label=gettext_lazy("Base model"))
    hosts = forms.MultipleChoiceField(label=gettext_lazy("Hosts"), required=False, widget=forms.CheckboxSelectMultiple)
    recipients = AddressesField(
        label=gettext_lazy("Who gets the mails"),
        required=False,
        help_text=gettext_lazy("E-mail addresses, one a line."),
    )

    def __init__(self, client: Client, hosts: list[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.client = client
        self.fields["base"].choices = [(name, name) for name in settings.BASES]  # type: ignore[attr-defined]
        self.fields["hosts"].choices = [(name, name) for name in hosts]  # type: ignore[attr-defined]
        self.fields["preset"].initial = next(iter(PRESETS))

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if Pipeline.objects.filter(client=self.client, slug=slug).exists():
            raise ValidationError(_("There is a pipeline “%(slug)s” already.") % {"slug": slug})
        return slug

    def body(self) -> dict[str, Any]:
        """The first settings, as PipelineSettings reads them."""
        given = self.cleaned_data
        made = PRESETS[given["preset"]].body(given["labels"], given["fields_"])
        return made | {"recipe": {"base": given["base"]}, "hosts": given["hosts"], "recipients": given["recipients"]}
