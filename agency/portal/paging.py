"""Pages of long lists; the page's number lives in the address."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest


def paged(request: HttpRequest, rows: Any, size: int) -> Page[Any]:
    """The asked page; a number out of range or no number gives the nearest there is."""
    return Paginator(rows, size).get_page(request.GET.get("page"))
