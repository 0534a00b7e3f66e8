"""Numbers in addresses: which page of a long list, which row of a table."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest


def number_in(text: str) -> int | None:
    """The whole number that an address or a hidden field holds; None where it holds none."""
    try:
        return int(text) if text.isdecimal() else None
    except ValueError:  # Longer than any number that Python reads.
        return None


def paged(request: HttpRequest, rows: Any, size: int) -> Page[Any]:
    """The asked page; a number out of range or no number gives the nearest there is."""
    return Paginator(rows, size).get_page(request.GET.get("page"))
