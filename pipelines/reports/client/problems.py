"""What went wrong in a month, whom it touched and what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum

from pipelines.models import Rollback, Traffic, TrafficSpan, Unit
from pipelines.reports.client.calendar import Month
from pipelines.reports.client.figures import grouped
from pipelines.reports.client.words import phase_words, why_taken_back
from pipelines.rollups import begin_of
from tenants.models import Pipeline


@dataclass(frozen=True)
class Problem:
    """A version that was taken back: one that traffic was moved off, not one that somebody only ordered back.

    `touched`: answers it had given by then; None where that is not known. `errors`: how many of them were none.
    """

    rollback: Rollback
    sentence: str
    when: str
    from_label: str
    to_label: str
    touched: int | None
    errors: int | None

    @property
    def at(self) -> datetime:
        return self.rollback.flipped_at or self.rollback.decided_at

    @property
    def seconds(self) -> float | None:
        return self.rollback.seconds


def problems_in(pipelines: Sequence[Pipeline], month: Month) -> dict[int, tuple[Problem, ...]]:
    """{pipeline: what was taken back, newest first}."""
    found = Rollback.objects.filter(pipeline__in=pipelines, flipped_at__gte=month.begin, flipped_at__lt=month.end)
    return grouped(pipelines, found.select_related("from_version", "to_version", "rollout"), problem_of)


def problem_of(row: Rollback) -> Problem:
    touched, errors = _touched(row)
    return Problem(
        rollback=row,
        sentence=why_taken_back(row),
        when=phase_words(row),
        from_label=row.from_version.label,
        to_label=row.to_version.label if row.to_version else "",
        touched=touched,
        errors=errors,
    )


def _touched(row: Rollback) -> tuple[int | None, int | None]:
    """Every answer of the version up to its last one, as far as the rollout that ended so brought it into traffic."""
    if row.rollout is None or row.rollout.version_id != row.from_version_id:
        return None, None
    begin, end = row.rollout.created_at, row.last_answer_at or row.decided_at
    border = begin_of(Unit.DAY, end)
    mine = {"version_id": row.from_version_id}
    days = TrafficSpan.objects.filter(
        **mine, unit=Unit.DAY, begins_at__gte=begin_of(Unit.DAY, begin), begins_at__lt=border
    )
    hours = TrafficSpan.objects.filter(**mine, unit=Unit.HOUR, begins_at__gte=border, begins_at__lte=end)
    fresh = Traffic.objects.filter(**mine, is_rolled_up=False, minute__gte=border, minute__lte=end)
    sums = [rows.aggregate(n=Sum("requests"), bad=Sum("errors")) for rows in (days, hours, fresh)]
    return sum(s["n"] or 0 for s in sums), sum(s["bad"] or 0 for s in sums)
