"""Forms of evaluation sets: a file of cases, one case, what is chosen."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import RetuneForm
from pipelines import metrics
from pipelines.records.cases import CaseRefused, expectation, read_case, read_cases, usual_check
from pipelines.records.starter import LANGUAGES
from tenants.models import EvalCase
from tenants.models.eval_set import EvalKind
from tenants.pipeline_settings import OutputFormat


def note_field() -> forms.CharField:
    return forms.CharField(
        label=gettext_lazy("What changes, and why"),
        max_length=500,
        required=False,
        help_text=gettext_lazy("Kept with the new version."),
    )


class EvalSetForm(RetuneForm):
    """A new version of an evaluation set out of a file; it replaces every case of the version before."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Set"),
        choices=[
            (EvalKind.HELDOUT, gettext_lazy("held-out: how good the answers are")),
            (EvalKind.REGRESSION, gettext_lazy("regression: must never break")),
            (EvalKind.SAFETY, gettext_lazy("safety: must always hold")),
            (EvalKind.LATENCY, gettext_lazy("latency: prompts that are timed")),
        ],
    )
    file = forms.FileField(
        label=gettext_lazy("JSON lines or CSV"),
        help_text=gettext_lazy(
            'One case a line: {"id", "messages", "check", "expected"}; or columns input, expected, id, system, check.'
        ),
    )
    note = note_field()

    def __init__(self, output: OutputFormat, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.output = output
        self.cases: list[dict[str, Any]] = []

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        file, kind = given.get("file"), given.get("kind")
        if file is not None and kind is not None:
            try:
                self.cases = read_cases(str(file.name), file, kind, self.output)
            except CaseRefused as refused:
                self.add_error("file", str(refused))
        return given


class CaseForm(RetuneForm):
    """One case, written by hand."""

    id = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    system = forms.CharField(
        label=gettext_lazy("System prompt"), required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    input = forms.CharField(
        label=gettext_lazy("What the user says"),
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("Or the whole conversation as a JSON list of messages."),
    )
    check = forms.ChoiceField(label=gettext_lazy("Check"))
    expected = forms.CharField(
        label=gettext_lazy("Expected"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("The label or text; or JSON with what the check needs (see the reference of checks)."),
    )
    note = note_field()
    origin = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)

    def __init__(self, kind: str, output: OutputFormat, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind, self.output = kind, output
        self.base = 0
        self.case: dict[str, Any] = {}
        if kind == EvalKind.LATENCY:
            del self.fields["check"], self.fields["expected"]
        else:
            self.fields["check"].choices = [(name, name) for name in sorted(metrics.known())]  # type: ignore[attr-defined]
            self.fields["check"].initial = usual_check(output)

    @staticmethod
    def given(case: EvalCase) -> dict[str, Any]:
        """A case as the form shows it."""
        expected = json.dumps(case.expected, ensure_ascii=False, indent=1) if case.expected else ""
        shown = {"id": case.key, "check": case.check_name, "expected": expected, "origin": case.origin}
        return shown | CaseForm.said(case.messages)

    @staticmethod
    def said(messages: list[dict[str, Any]]) -> dict[str, str]:
        """A conversation as the form's fields."""
        roles = [one["role"] for one in messages]
        is_plain = roles in (["user"], ["system", "user"])
        system = messages[0]["content"] if len(messages) == 2 and is_plain else ""
        shown = messages[-1]["content"] if is_plain else json.dumps(messages, ensure_ascii=False, indent=1)
        return {"system": system, "input": shown}

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors:
            check = given.get("check", "")
            value = {
                "id": given["id"],
                "messages": self._messages(given["system"], given["input"]),
                "check": check,
                "expected": expectation(check, given.get("expected", ""), self.output),
                "origin": given.get("origin") or _("written by hand"),
            }
            try:
                self.case = read_case(value, self.kind, _("This case"))
            except CaseRefused as refused:
                raise ValidationError(str(refused)) from refused
        return given

    @staticmethod
    def _messages(system: str, text: str) -> Any:
        if text.lstrip().startswith("["):
            try:
                return json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ValidationError({"input": _("This is no JSON list: %(why)s") % {"why": error}}) from error
        head = [{"role": "system", "content": system}] if system.strip() else []
        return [*head, {"role": "user", "content": text}]


class NoteForm(RetuneForm):
    """What goes with a choice of cases."""

    note = note_field()


class StarterForm(RetuneForm):
    """Which starter set."""

    language = forms.ChoiceField(label=gettext_lazy("Language"), choices=list(LANGUAGES.items()))
