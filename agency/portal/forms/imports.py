"""Forms of files and sources."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import ValidationError as Refused

from agency.portal.forms.fields import PercentField, RetuneForm
from agency.portal.forms.refusals import add_refusals
from pipelines.imports import Mapping
from pipelines.models import Source
from pipelines.reports.data.imports import Preview

FORMATS = [("", gettext_lazy("find out")), ("jsonl", "JSONL"), ("json", "JSON"), ("csv", "CSV"),
           ("xlsx", "Excel (XLSX)"), ("parquet", "Parquet")]  # fmt: skip
ENCODINGS = [("", gettext_lazy("find out")), ("utf-8", "UTF-8"), ("utf-16", "UTF-16"), ("cp1252", "Windows-1252"),
             ("latin-1", "ISO 8859-1"), ("cp1250", "Windows-1250")]  # fmt: skip
DELIMITERS = [("", gettext_lazy("find out")), (",", gettext_lazy("comma")), (";", gettext_lazy("semicolon")),
              ("\t", gettext_lazy("tab")), ("|", "|")]  # fmt: skip


class UploadForm(RetuneForm):
    """A file of examples and where it comes from."""

    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy("JSONL, JSON, CSV, Excel (XLSX) or Parquet."),
        widget=forms.FileInput(attrs={"accept": ".jsonl,.ndjson,.json,.csv,.tsv,.txt,.xlsx,.parquet"}),
    )
    source = forms.CharField(
        label=gettext_lazy("Source"),
        initial="upload",
        max_length=100,
        help_text=gettext_lazy("Where the rows come from. A source remembers how its files are read."),
        widget=forms.TextInput(attrs={"list": "sources", "autocomplete": "off"}),
    )
    look = forms.BooleanField(label=gettext_lazy("Look at the first rows before importing"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # A program that sends only a file means the source that everybody has.
        super().__init__(*args, **kwargs)
        self.fields["source"].required = False

    def clean_source(self) -> str:
        return self.cleaned_data["source"].strip() or "upload"


class MappingForm(RetuneForm):
    """How a file is read. What is left to find out was found out on the page that shows it."""

    user = forms.ChoiceField(label=gettext_lazy("Question"), required=False)
    assistant = forms.ChoiceField(label=gettext_lazy("Answer"), required=False)
    label = forms.ChoiceField(
        label=gettext_lazy("Label"), required=False, help_text=gettext_lazy("Is the answer where none is chosen.")
    )
    system = forms.ChoiceField(label=gettext_lazy("System prompt, by column"), required=False)
    instruction = forms.CharField(
        label=gettext_lazy("System prompt of every row"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    format = forms.ChoiceField(label=gettext_lazy("Format"), choices=FORMATS, required=False)
    encoding = forms.ChoiceField(label=gettext_lazy("Encoding"), choices=ENCODINGS, required=False)
    delimiter = forms.ChoiceField(label=gettext_lazy("Delimiter"), choices=DELIMITERS, required=False)
    sheet = forms.CharField(label=gettext_lazy("Sheet"), required=False, max_length=100)

    def __init__(self, *args: Any, columns: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for role in ("user", "assistant", "label", "system"):
            field, chosen = self.fields[role], [self.initial.get(role, ""), self.data.get(role, "")]
            named = list(dict.fromkeys([*columns, *filter(None, chosen)]))
            field.choices = [("", "–"), *((name, name) for name in named)]  # type: ignore[attr-defined]
        encoding = self.initial.get("encoding", "")
        if encoding not in dict(ENCODINGS):
            self.fields["encoding"].choices = [*ENCODINGS, (encoding, encoding)]  # type: ignore[attr-defined]

    @classmethod
    def of(cls, shown: Preview) -> MappingForm:
        return cls(initial=shown.mapping.model_dump(), columns=shown.columns)

    def mapping(self) -> Mapping | None:
        """The mapping, or None with the refusals at their fields."""
        if not self.is_valid():
            return None
        try:
            return Mapping.model_validate(self.cleaned_data)
        except Refused as error:
            add_refusals(self, error)
            return None


def read_as(reading: Mapping) -> list[tuple[Any, Any]]:
    """How a file was read, in the words of the form: (label, value)."""
    fields, shown = MappingForm().fields, reading.model_dump()
    words = {"format": dict(FORMATS), "encoding": dict(ENCODINGS), "delimiter": dict(DELIMITERS)}
    named = [(name, value) for name, value in shown.items() if value]
    return [(fields[name].label, words.get(name, {}).get(value, value)) for name, value in named]


class HoldOutForm(RetuneForm):
    """Which part of the new rows becomes evaluation cases."""

    share = PercentField(label=gettext_lazy("Percent of the new rows"), initial=0.1)
    seed = forms.IntegerField(label=gettext_lazy("Seed"), initial=0, min_value=0, max_value=2**31 - 1)


class SourceForm(RetuneForm):
    """How far a source is trusted."""

    trust = forms.ChoiceField(
        label=gettext_lazy("Trust"),
        choices=[
            ("high", gettext_lazy("high: rows train once they passed the checks")),
            ("low", gettext_lazy("low: each row waits until a person lets it through")),
        ],
    )
    max_share = PercentField(
        label=gettext_lazy("At most this part of a training set, in percent"),
        required=False,
        help_text=gettext_lazy("Empty: as much as there is."),
    )

    @classmethod
    def of(cls, source: Source) -> SourceForm:
        return cls(initial={"trust": source.trust, "max_share": source.max_share})

    def clean_max_share(self) -> float | None:
        share: float | None = self.cleaned_data["max_share"]
        if share == 0:
            raise ValidationError(_("For nothing at all, withdraw the source."))
        return share
