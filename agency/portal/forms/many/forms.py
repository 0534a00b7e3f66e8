"""A preset's fields, a pipeline's copy, one field over many pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import RetuneForm, ShortNameField, dress
from agency.portal.forms.people import SLUG_HINT
from agency.portal.forms.settings import Group, SettingsForm
from agency.portal.forms.settings_fields import SECTIONS
from tenants import naming
from tenants.following.fields import is_own
from tenants.models import Client, SettingsPreset
from tenants.pipeline_settings import PipelineSettings

# One value each, and no part of something that only makes sense whole.
SINGLE = {
    name: (section.title, make)
    for section in SECTIONS
    for name, make in section.fields.items()
    if not is_own(name) and name != "stages" and not name.startswith(("triggers.schedule", "triggers.has_schedule"))
}
SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class PresetForm(SettingsForm):
    """The settings form without what is a client's own."""

    def __init__(self, settings: PipelineSettings, data: Any = None) -> None:
        super().__init__(settings, (), data)
        for name in [name for name in self.fields if is_own(name)]:
            del self.fields[name]

    def groups(self) -> Iterator[Group]:
        for section in SECTIONS:
            names = [name for name in section.fields if name in self.fields]
            if names:
                yield Group(section.key, section.title, [self[name] for name in names])


class NewPresetForm(RetuneForm):
    """A preset out of what a pipeline has now."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    slug = forms.RegexField(
        SLUG, label=gettext_lazy("Short name"), max_length=60, help_text=gettext_lazy("Small letters, digits, hyphens.")
    )
    source = forms.ChoiceField(label=gettext_lazy("Begin with the settings of"))

    def __init__(self, pipelines: Iterable[tuple[int, str, str]], *args: Any, **kwargs: Any) -> None:
        """`pipelines`: number, client and name of each."""
        super().__init__(*args, **kwargs)
        named = [(str(pk), f"{client} · {name}") for pk, client, name in pipelines]
        self.fields["source"].choices = [("", gettext_lazy("the product's defaults")), *named]  # type: ignore[attr-defined]
        self.fields["source"].required = False

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if SettingsPreset.objects.filter(slug=slug).exists():
            raise ValidationError(_("There is a preset “%(slug)s” already.") % {"slug": slug})
        return slug


class FollowForm(RetuneForm):
    """Which preset a pipeline follows, and what becomes of the values that differ."""

    preset = forms.ChoiceField(label=gettext_lazy("Preset"))
    differing = forms.ChoiceField(
        label=gettext_lazy("Where it differs"),
        choices=[
            ("keep", gettext_lazy("this pipeline keeps its own value")),
            ("take", gettext_lazy("it takes the preset's value now")),
        ],
        initial="keep",
        widget=forms.RadioSelect,
    )
    base = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, presets: Sequence[SettingsPreset], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["preset"].choices = [(row.slug, row.name) for row in presets]  # type: ignore[attr-defined]


class CloneForm(RetuneForm):
    """Where a copy of a pipeline's settings goes."""

    client = forms.ChoiceField(label=gettext_lazy("To the client"))
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    slug = ShortNameField(naming.PIPELINE_RESERVED, help_text=SLUG_HINT)

    def __init__(self, clients: Sequence[Client], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["client"].choices = [(row.slug, row.name) for row in clients]  # type: ignore[attr-defined]


def value_form(path: str, data: Any = None, initial: Any = None) -> RetuneForm:
    """A form of one setting, in the field `value`."""
    form = RetuneForm(data, initial={"value": initial})
    form.fields["value"] = SINGLE[path][1]()
    dress(form.fields["value"].widget)
    return form
