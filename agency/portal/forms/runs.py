"""Forms of decisions, uploads and new pipelines."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import LinesField, RetuneForm
from agency.portal.forms.people import SLUG_HINT
from agency.portal.presets import PRESETS
from pipelines import metrics
from tenants.models import Client, Pipeline
from tenants.models.eval_set import EvalKind

MAX_CASES = 20_000


class StartForm(RetuneForm):
    """A run by hand."""

    reason = forms.CharField(label=gettext_lazy("Why now"), max_length=500, required=False)
    force = forms.BooleanField(
        label=gettext_lazy("Even during a cooldown"), required=False, help_text=gettext_lazy("Needs a reason.")
    )


class UploadForm(RetuneForm):
    """Examples, one JSON object a line."""

    file = forms.FileField(
        label=gettext_lazy("NDJSON file"),
        help_text=gettext_lazy("One example a line: chat messages, or input and output."),
    )


class EvalSetForm(RetuneForm):
    """A new version of an evaluation set: one case a line."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Set"),
        choices=[
            (EvalKind.HELDOUT, gettext_lazy("held-out: how good the answers are")),
            (EvalKind.REGRESSION, gettext_lazy("regression: must never break")),
            (EvalKind.SAFETY, gettext_lazy("safety: must always hold")),
        ],
    )
    file = forms.FileField(
        label=gettext_lazy("NDJSON file"),
        help_text=gettext_lazy('One case a line: {"id", "messages", "check", "expected"}.'),
    )

    def clean_file(self) -> list[dict[str, Any]]:
        cases = [_case(number, line) for number, line in enumerate(self.cleaned_data["file"], 1) if line.strip()]
        if not 0 < len(cases) <= MAX_CASES:
            raise ValidationError(
                _("A set holds between 1 and %(top)s cases; this file has %(n)s.") % {"top": MAX_CASES, "n": len(cases)}
            )
        _each_once(cases)
        return cases


def _each_once(cases: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case["id"] in seen:
            raise ValidationError(_("Two cases have the id “%(id)s”.") % {"id": case["id"]})
        seen.add(case["id"])


def _case(number: int, line: bytes) -> dict[str, Any]:
    """A case as put_eval_set takes it, or a refusal that names its line."""
    try:
        value = json.loads(line)
        case = {
            "id": str(value["id"]),
            "messages": value["messages"],
            "check": value["check"],
            "expected": value.get("expected", {}),
        }
        said = [m["content"] for m in case["messages"] if m["role"] == "user"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = _("%(what)s is missing") % {"what": error} if isinstance(error, KeyError) else str(error)
        raise ValidationError(_("Line %(number)s: %(why)s") % {"number": number, "why": why}) from error
    if case["check"] not in metrics.METRICS or not said:
        why = _("unknown check “%(check)s”") % {"check": case["check"]} if said else _("nobody asks anything")
        raise ValidationError(_("Line %(number)s: %(why)s") % {"number": number, "why": why})
    return case


class PipelineForm(RetuneForm):
    """A new pipeline from one of three presets; everything can be changed later."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    slug = forms.RegexField(
        r"^[a-z0-9]+(-[a-z0-9]+)*$", label=gettext_lazy("Short name"), max_length=60, help_text=SLUG_HINT
    )
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
    recipients = LinesField(
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


def digest_token(file: UploadedFile) -> str:
    """The same file is the same batch, however often it is sent; a broken-off one goes on where it stopped."""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return f"portal:{digest.hexdigest()}"
