"""Refusals of the settings model as sentences beside the fields they are about."""

from __future__ import annotations

from collections.abc import Mapping

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import ValidationError

SENTENCES: dict[str, Promise] = {
    "greater_than_equal": gettext_lazy("Must be %(ge)s or more."),
    "greater_than": gettext_lazy("Must be more than %(gt)s."),
    "less_than_equal": gettext_lazy("Must be %(le)s or less."),
    "less_than": gettext_lazy("Must be less than %(lt)s."),
    "literal_error": gettext_lazy("Must be one of %(expected)s."),
    "missing": gettext_lazy("This is needed."),
    "int_parsing": gettext_lazy("Must be a whole number."),
    "int_from_float": gettext_lazy("Must be a whole number."),
    "float_parsing": gettext_lazy("Must be a number."),
}


def add_refusals(form: forms.Form, error: ValidationError, names: Mapping[str, str] | None = None) -> None:
    """Adds each refusal to the field of its path, else to the nearest above it that has a field, else to the form.

    `names` maps a path to a field whose name differs.
    """
    for detail in error.errors(include_url=False):
        parts = [str(part) for part in detail["loc"]]
        form.add_error(_field(form, parts, names or {}), sentence(dict(detail)))


def sentence(detail: dict[str, object]) -> str:
    kind, given = str(detail["type"]), detail.get("ctx") or {}
    if kind == "value_error" and isinstance(given, dict) and "reason" not in given:
        return str(given.get("error", detail["msg"]))
    if kind in SENTENCES:
        limits = given if isinstance(given, dict) else {}
        return str(SENTENCES[kind]) % {
            name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in limits.items()
        }
    return _("This cannot work: %(why)s.") % {"why": detail["msg"]}


def _field(form: forms.Form, parts: list[str], names: Mapping[str, str]) -> str | None:
    while parts:
        path = ".".join(parts)
        found = names.get(path, path)
        if found in form.fields:
            return found
        parts = parts[:-1]
    return None
