"""What changed in a month and why it is safe: each version that went live, its tests, who approved it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from pipelines.models import GateResult, ModelVersion, Scorecard
from pipelines.reports.client.calendar import Month
from pipelines.reports.client.figures import grouped
from pipelines.reports.client.serving import served_at, taken_back
from pipelines.reports.client.words import metric_name, test_name, test_words
from pipelines.reports.scorecards import MetricLine, metric_lines
from tenants.models import Pipeline, User


@dataclass(frozen=True)
class Tested:
    name: str
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Change:
    """One version. `is_new`: it went live in the month; `is_back`: it is older, and traffic went back to it in the
    month; neither: it is older and still in service.

    `at`: since when it was in service, of what was at the month's end (`is_serving`); else when it went live.
    """

    version: ModelVersion
    at: datetime
    is_new: bool
    is_back: bool
    is_serving: bool
    taken_back_at: datetime | None
    what: str
    trained_on: int
    learnt: int
    metrics: tuple[MetricLine, ...]
    tests: tuple[Tested, ...]
    approved_by: str

    @property
    def label(self) -> str:
        return self.version.label


def changes_in(pipelines: Sequence[Pipeline], month: Month) -> dict[int, tuple[Change, ...]]:
    """{pipeline: what went live in the month and what was in service at its end, newest first}."""
    rows = ModelVersion.objects.filter(pipeline__in=pipelines, promoted_at__gte=month.begin, promoted_at__lt=month.end)
    versions, serving = list(rows.select_related("dataset", "run")), served_at(pipelines, month.end)
    news = {version.pk for version in versions}
    versions += [one.version for one in serving.values() if one.version.pk not in news]
    times = {one.pk: one.promoted_at for one in versions if one.promoted_at}
    times |= {one.version.pk: one.since for one in serving.values()}
    backs = taken_back(versions, month.end)
    cards = {card.version_id: card for card in Scorecard.objects.filter(version__in=versions)}
    gates: dict[int, list[GateResult]] = defaultdict(list)
    for gate in GateResult.objects.filter(run__in={version.run_id for version in versions}):
        gates[gate.run_id].append(gate)

    def change(version: ModelVersion) -> Change:
        at, is_new = times[version.pk], version.pk in news
        is_serving = serving[version.pipeline_id].version.pk == version.pk
        taken_back_at = None if is_serving else backs.get(version.pk)
        said = _facts(version, cards.get(version.pk), gates[version.run_id])
        return Change(version, at, is_new, not is_new and at >= month.begin, is_serving, taken_back_at, **said)

    found = grouped(pipelines, versions, change)
    return {pk: tuple(sorted(lines, key=lambda one: one.at, reverse=True)) for pk, lines in found.items()}


def _facts(version: ModelVersion, card: Scorecard | None, gates: list[GateResult]) -> dict[str, Any]:
    metrics = (MetricLine(metric_name(m.name), m.candidate, m.production) for m in metric_lines(card))
    return {
        "what": _what(version, card),
        "trained_on": version.dataset.rows_total if version.dataset else 0,
        "learnt": version.dataset.rows_new if version.dataset and not version.is_prompt else 0,
        "metrics": tuple(metrics),
        "tests": tuple(dict.fromkeys(Tested(test_name(gate), gate.verdict, test_words(gate, card)) for gate in gates)),
        "approved_by": _approver(version),
    }


def _what(version: ModelVersion, card: Scorecard | None) -> str:
    is_first = card is not None and card.production_id is None  # Nothing was there to compare it with.
    if version.is_prompt:
        return _("The instructions of the model were changed; it learnt nothing new.")
    if version.is_adopted:
        return _("It answered you already; your agency took it over as it was.")
    if version.dataset is None:
        first, later = _("It is your first model here."), _("It takes the place of the model before it.")
        return first if is_first else later
    if is_first:
        return _("It is your first model, trained on your examples.")
    return _("The model was trained again with your newest examples.")


def _approver(version: ModelVersion) -> str:
    """A name that the person gave, never an address. Empty: nobody had to, the tests decided."""
    approvals = [entry for stage in ("compare", "deploy") for entry in version.run.approvals.get(stage, [])]
    by = version.approved_by or (str(approvals[-1].get("by", "")) if approvals else "")
    if not by:
        return ""
    second = str(approvals[-1].get("confirmed_by", "")) if approvals else ""
    known = dict(User.objects.filter(email__in=[by, second]).values_list("email", "name"))
    return ", ".join(filter(None, (known.get(by), known.get(second)))) or _("your agency")
