"""Filters of clients' pages: figures and months in the reader's language."""

from __future__ import annotations

from django import template
from django.utils.formats import date_format, number_format

from pipelines.reports.client import Month
from pipelines.reports.client.figures import Figure

register = template.Library()


@register.filter
def count(value: float | None) -> str:
    """A whole number, grouped as the language does it."""
    return "–" if value is None else str(number_format(value, decimal_pos=0, force_grouping=True))


@register.filter
def share_of(value: float | None) -> str:
    """0.912 -> 91.2 %."""
    return "–" if value is None else f"{number_format(100 * value, decimal_pos=1)} %"


@register.filter
def value_of(figure: Figure) -> str:
    return share_of(figure.value) if figure.kind == "share" else count(figure.value)


@register.filter
def change_of(figure: Figure) -> str:
    """Against the month before, with its sign."""
    change = figure.change
    if not change:
        return "="
    sign = "+" if change > 0 else "−"
    size = abs(change)
    return f"{sign}{number_format(100 * size, decimal_pos=1)}" if figure.kind == "share" else f"{sign}{count(size)}"


@register.filter
def month_name(month: Month) -> str:
    return str(date_format(month.first_day, "YEAR_MONTH_FORMAT"))
