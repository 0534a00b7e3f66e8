"""What changed in a month and why it is safe: each version that went live, its tests, who approved it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from pipelines.models import GateResult, ModelVersion, Scorecard
from pipelines.reports.client.calendar import Month
from pipelines.reports.client.figures import grouped
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
    """One version. `is_new`: it went live in the month; else it is older and still in service."""

    version: ModelVersion
    is_new: bool
    what: str
    trained_on: int
    learnt: int
    metrics: tuple[MetricLine, ...]
    tests: tuple[Tested, ...]
    approved_by: str

    @property
    def label(self) -> str:
        return self.version.label

    @property
    def at(self) -> datetime | None:
        return self.version.promoted_at


def changes_in(
    pipelines: Sequence[Pipeline], month: Month, in_service: Mapping[int, ModelVersion]
) -> dict[int, tuple[Change, ...]]:
    """{pipeline: what went live in the month, newest first; where nothing did, what was in service before it}."""
    rows = ModelVersion.objects.filter(pipeline__in=pipelines, promoted_at__gte=month.begin, promoted_at__lt=month.end)
    versions = list(rows.select_related("dataset", "run").order_by("-promoted_at"))
    news = {version.pipeline_id for version in versions}
    versions += [one for pk, one in in_service.items() if pk not in news and _was_there(one, month)]
    cards = {card.version_id: card for card in Scorecard.objects.filter(version__in=versions)}
    gates: dict[int, list[GateResult]] = defaultdict(list)
    for gate in GateResult.objects.filter(run__in={version.run_id for version in versions}):
        gates[gate.run_id].append(gate)

    def change(version: ModelVersion) -> Change:
        return _change(version, version.pipeline_id in news, cards.get(version.pk), gates[version.run_id])

    return grouped(pipelines, versions, change)


def _was_there(version: ModelVersion, month: Month) -> bool:
    return version.promoted_at is not None and version.promoted_at < month.begin


def _change(version: ModelVersion, is_new: bool, card: Scorecard | None, gates: list[GateResult]) -> Change:
    metrics = (MetricLine(metric_name(m.name), m.candidate, m.production) for m in metric_lines(card))
    return Change(
        version=version,
        is_new=is_new,
        what=_what(version, card),
        trained_on=version.dataset.rows_total if version.dataset else 0,
        learnt=version.dataset.rows_new if version.dataset else 0,
        metrics=tuple(metrics),
        tests=tuple(dict.fromkeys(Tested(test_name(gate), gate.verdict, test_words(gate, card)) for gate in gates)),
        approved_by=_approver(version),
    )


def _what(version: ModelVersion, card: Scorecard | None) -> str:
    if version.is_prompt:
        return _("The instructions of the model were changed; it learnt nothing new.")
    if card is not None and card.production_id is None:  # Nothing was there to compare it with.
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
