"""Numbers in addresses: which page of a long list, which row of a table."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

# Of a log of years nobody turns to page 300: filters lead there. To count all takes longer than to show a page.
MOST_COUNTED = 10_000


def number_in(text: str) -> int | None:
    """The whole number that an address or a hidden field holds; None where it holds none."""
    try:
        return int(text) if text.isdecimal() else None
    except ValueError:  # Longer than any number that Python reads.
        return None


def paged(request: HttpRequest, rows: Any, size: int) -> Page[Any]:
    """The asked page; a number out of range or no number gives the nearest there is."""
    return Paginator(rows, size).get_page(request.GET.get("page"))


class LogPaginator(Paginator):
    """Of the newest ten thousand lines of a log."""

    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        return self.object_list.order_by()[:MOST_COUNTED].count()

    @property
    def is_capped(self) -> bool:
        return self.count == MOST_COUNTED


def paged_log(request: HttpRequest, rows: QuerySet[Any], size: int) -> Page[Any]:
    """As `paged`, of a log that grows for ever."""
    return LogPaginator(rows, size).get_page(request.GET.get("page"))
