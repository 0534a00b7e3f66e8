"""What the data checks said of a run's new rows: counts by rule, labels then and now, some of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from pipelines.models import Example, ExampleState, Run, StageRun

SAMPLES_A_RULE = 4
SHOWN_LINES = 24


@dataclass(frozen=True)
class ShareLine:
    """How often something stands in the new rows and in those before; widths in hundredths of the longest bar."""

    name: str
    new: int
    existing: int
    new_width: float
    existing_width: float


@dataclass(frozen=True)
class ShareChart:
    """`of`: labels, lengths or languages. `variation` and `p` None: there was nothing to compare with. Lines that
    changed most come first (lengths by length); `hidden` more are not shown.
    """

    of: str
    lines: tuple[ShareLine, ...]
    hidden: int
    variation: float | None
    p: float | None


@dataclass(frozen=True)
class DataReport:
    """`counts`: (state, rule, rows). `rows`, `malformed`, `usable` are None until the checks have spoken."""

    rows: int | None
    malformed: int | None
    usable: int | None
    counts: tuple[tuple[str, str, int], ...]
    masked: int
    charts: tuple[ShareChart, ...]
    breaches: tuple[str, ...]
    samples: tuple[Example, ...]


def data_report(run: Run, stage: StageRun | None) -> DataReport:
    said: dict[str, Any] = (stage.notes or stage.output) if stage else {}
    marked = Example.objects.filter(judged_in=run).exclude(rule="")
    counts = list(marked.order_by().values_list("state", "rule").annotate(n=Count("id")).order_by("state", "rule"))
    shares: dict[str, Any] = said.get("distribution") or {}
    found = marked.exclude(state=ExampleState.PARKED)  # Nothing is wrong with these: their run ended otherwise.
    rules = [rule for state, rule, _n in counts if state != ExampleState.PARKED]
    return DataReport(
        rows=said.get("rows"),
        malformed=said.get("malformed"),
        usable=said.get("usable"),
        counts=tuple((state, rule, n) for state, rule, n in counts),
        masked=said.get("masked") or 0,
        charts=tuple(chart for chart in _charts(shares) if chart.lines),
        breaches=tuple(shares.get("breaches") or ()),
        samples=tuple(row for rule in rules for row in found.filter(rule=rule)[:SAMPLES_A_RULE]),
    )


def _charts(found: dict[str, Any]) -> Iterator[ShareChart]:
    yield _chart("labels", found)
    for of in ("lengths", "languages"):
        yield _chart(of, found.get(of) or {})


def _chart(of: str, found: dict[str, Any]) -> ShareChart:
    new, existing = found.get("new") or {}, found.get("existing") or {}
    totals = (sum(new.values()) or 1, sum(existing.values()) or 1)
    shares = {name: (new.get(name, 0) / totals[0], existing.get(name, 0) / totals[1]) for name in new.keys() | existing}
    longest = max((share for pair in shares.values() for share in pair), default=1.0) or 1.0
    lines = [
        ShareLine(name, new.get(name, 0), existing.get(name, 0), 100 * one / longest, 100 * two / longest)
        for name, (one, two) in shares.items()
    ]
    by_length = of == "lengths"
    lines.sort(key=lambda line: _first_number(line.name) if by_length else _change(line))
    shown = tuple(lines[:SHOWN_LINES])
    return ShareChart(of, shown, len(lines) - len(shown), found.get("variation"), found.get("p"))


def _change(line: ShareLine) -> tuple[float, float, str]:
    return -abs(line.new_width - line.existing_width), -line.new_width, line.name


def _first_number(name: str) -> int:
    return int(name.split("-", maxsplit=1)[0].split(maxsplit=1)[0])
