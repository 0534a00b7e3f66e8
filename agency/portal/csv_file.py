"""A table as a CSV file that a spreadsheet can open without running what is in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from django.http import HttpResponse

# A cell that begins so is a formula to spreadsheets (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_file(name: str, rows: Iterable[Iterable[object]]) -> HttpResponse:
    """UTF-8 with a mark, because spreadsheets guess otherwise; numbers stay numbers."""
    text = io.StringIO()
    csv.writer(text).writerows([neutral(cell) for cell in row] for row in rows)
    disposition = f'attachment; filename="{name}"'
    body = text.getvalue().encode("utf-8-sig", "replace")
    return HttpResponse(body, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": disposition})


def neutral(cell: object) -> object:
    """Text that would be read as a formula gets an apostrophe in front."""
    if isinstance(cell, str) and cell.lstrip(" ").startswith(FORMULA):
        return f"'{cell}"
    return "" if cell is None else cell
