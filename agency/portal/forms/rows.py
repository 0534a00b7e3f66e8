"""Deciding about rows: why, which label, and another text."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agency.portal.forms.fields import ReasonForm, RetuneForm
from pipelines.models import Example
from tenants.pipeline_settings import PipelineSettings

MAX_CHARS = 1_000_000


class DecideForm(ReasonForm):
    """The reason, and where answers are labels which one."""

    label = forms.ChoiceField(label=_("Label"), required=False)

    def __init__(self, settings: PipelineSettings, data: Any = None) -> None:
        super().__init__(data)
        output = settings.criteria.output
        labels = output.labels if output.kind == "label" else ()
        self.fields["label"].choices = [("", "–"), *((label, label) for label in labels)]  # type: ignore[attr-defined]
        if not labels:
            self.fields["label"].widget = forms.HiddenInput()
        self.order_fields(["label", "reason"])


class TextForm(RetuneForm):
    """A field for each message; for a malformed row its raw line."""

    def __init__(self, example: Example, data: Any = None) -> None:
        self.messages = example.messages
        super().__init__(data if data is not None and "edit" in data.getlist("act") else None)
        if not self.messages:
            self.fields["raw"] = _text(_("The line, as JSON"), example.raw, 8)
        for n, message in enumerate(self.messages):
            rows = min(12, 2 + len(message["content"]) // 100)
            self.fields[f"m{n}"] = _text(message["role"], message["content"], rows)
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-control"

    def is_valid(self) -> bool:
        return not self.is_bound or super().is_valid()

    def line(self) -> bytes:
        """The row as an upload would hold it."""
        given = self.cleaned_data
        if not self.messages:
            return str(given["raw"]).encode()
        said = [m | {"content": given[f"m{n}"].replace("\r\n", "\n")} for n, m in enumerate(self.messages)]
        return json.dumps({"messages": said}, ensure_ascii=False).encode()


def _text(label: Any, text: str, rows: int) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": rows})
    return forms.CharField(label=label, initial=text, max_length=MAX_CHARS, widget=widget, required=False, strip=False)
