"""The waivers of a pipeline, those in force first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from pipelines.models import Waiver
from tenants.models import Pipeline


@dataclass(frozen=True)
class WaiverLine:
    """`status`: in_force, ended, withdrawn. `used`: verdicts that it kept from deciding."""

    waiver: Waiver
    status: str
    used: int


def waiver_lines(pipeline: Pipeline, now: datetime) -> tuple[WaiverLine, ...]:
    used = Count("verdicts", filter=~Q(verdicts__verdict="passed"))
    rows = Waiver.objects.filter(pipeline=pipeline).annotate(used=used)
    lines = [WaiverLine(row, _status(row, now), row.used) for row in rows]
    return tuple(sorted(lines, key=lambda line: line.status != "in_force"))


def _status(row: Waiver, now: datetime) -> str:
    if row.withdrawn_at is not None:
        return "withdrawn"
    return "in_force" if row.is_in_force(now) else "ended"
