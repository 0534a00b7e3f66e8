"""Exact duplicates and conflicts: by digest, against rows that train already and against earlier new ones."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _

from pipelines.models import ExampleState, Run
from pipelines.validation.batch import NewRows, existing

CHUNK = 500


def mark_duplicates(run: Run, new: NewRows) -> None:
    """The same content again is dropped; the same input with another answer is quarantined."""
    known = _known(run, "content_digest", [row.content_digest for row in new.left])
    for row in new.left:
        twin = known.setdefault(row.content_digest, row.pk)
        if twin != row.pk:
            new.mark(
                row, ExampleState.DUPLICATE, "duplicate", _("The same content as example %(id)s.") % {"id": twin}, twin
            )
    inputs = _known(run, "input_digest", [row.input_digest for row in new.left])
    for row in new.left:
        twin = inputs.setdefault(row.input_digest, row.pk)
        if twin != row.pk:
            detail = _("The same input as example %(id)s, with another answer.") % {"id": twin}
            new.mark(row, ExampleState.QUARANTINED, "conflict", detail, twin)


def _known(run: Run, column: str, digests: Iterable[str]) -> dict[str, int]:
    """Digest -> id of a row that trains already."""
    wanted = list(digests)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = existing(run).filter(**{f"{column}__in": wanted[start : start + CHUNK]})
        found |= {getattr(row, column): row.pk for row in rows.only("pk", column)}
    return found
