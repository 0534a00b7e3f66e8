"""What a column holds, held against what an archive says."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import BaseValidator
from django.db import models
from django.utils.translation import gettext as _

WHY_MOST = 300


def cleaned(column: Any, given: Any) -> Any:
    """The value as the column holds it: its kind, length, range and choices.

    Addresses and empty values were judged where they were written down. Raises ValidationError, TypeError, ValueError
    and OverflowError.
    """
    value = column.to_python(given)
    if value is None and not column.null:
        raise ValidationError(_("It is empty."))
    if value in column.empty_values:
        return value
    if column.choices and value not in dict(column.flatchoices):
        raise ValidationError(_("“%(value)s” is none of its values.") % {"value": value})
    for check in _checks(column):
        check(value)
    return value


@cache
def _checks(column: Any) -> list[Any]:
    if isinstance(column, models.SlugField):
        return list(column.validators)
    return [check for check in column.validators if isinstance(check, BaseValidator)]


def why(fault: Exception) -> str:
    """In a sentence, however long the value is."""
    if isinstance(fault, ValidationError):
        return " ".join(fault.messages)[:WHY_MOST]
    if isinstance(fault, KeyError):
        return _("it does not say %(name)s.") % {"name": fault}
    return str(fault)[:WHY_MOST]
