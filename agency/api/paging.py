"""Pages of a list by the last key seen: stable while rows are added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from django.db.models import QuerySet
from ninja import Query, Schema
from pydantic import Field

MAX_ITEMS = 200


class PageQuery(Schema):
    """`limit` items at most, those before the key `before`."""

    limit: int = Field(50, ge=1, le=MAX_ITEMS)
    before: int | None = Field(None, ge=1)


Paged = Annotated[PageQuery, Query()]


def page(rows: QuerySet[Any], asked: PageQuery, key: str, show: Callable[[Any], Any]) -> dict[str, Any]:
    """`key`: a unique number of the rows (of one pipeline or client), which they are ordered by, the highest first."""
    chosen = rows.order_by(f"-{key}")
    if asked.before is not None:
        chosen = chosen.filter(**{f"{key}__lt": asked.before})
    found = list(chosen[: asked.limit + 1])
    more = len(found) > asked.limit
    items = found[: asked.limit]
    return {"items": [show(row) for row in items], "next": getattr(items[-1], key) if more else None}
