"""Evaluation sets as their pages show them: versions, cases, which of them are stable, and what a set costs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from pipelines.artifacts import ArtifactDamaged, ArtifactMissing, store_of
from pipelines.domain.stability import FlipRate, History, flip_rate
from pipelines.models import GateResult, PipelineState, Scorecard
from tenants.models import EvalCase, EvalSet, Pipeline
from tenants.models.eval_set import EvalKind

LOOKED_BACK = 12
"""Scorecards whose answers are read: what was right a year ago says little about today."""


@dataclass(frozen=True)
class SetLine:
    """One kind: its newest version, None while there is none; `flips` of its cases by retrains that were not worse."""

    kind: EvalKind
    newest: EvalSet | None
    flips: FlipRate | None

    @property
    def block_rate(self) -> float | None:
        return self.flips.block_rate(self.newest.size) if self.flips and self.newest else None

    @property
    def block_rate_high(self) -> float | None:
        return self.flips.block_rate_high(self.newest.size) if self.flips and self.newest else None


def set_lines(pipeline: Pipeline) -> tuple[SetLine, ...]:
    found: dict[str, EvalSet] = {}
    for row in EvalSet.objects.filter(pipeline=pipeline).order_by("-version"):
        found.setdefault(row.kind, row)
    cards = not_worse(pipeline)
    return tuple(SetLine(kind, found.get(kind), _flips(cards, kind, found.get(kind))) for kind in EvalKind)


def _flips(cards: list[Scorecard], kind: EvalKind, newest: EvalSet | None) -> FlipRate | None:
    """Of the cases that are still in the set: taking a shaky one out must show."""
    if kind not in (EvalKind.REGRESSION, EvalKind.SAFETY):
        return None
    return flips_of(cards, kind, set(newest.cases.values_list("key", flat=True)) if newest else set())


def not_worse(pipeline: Pipeline) -> list[Scorecard]:
    """The latest measured retrains that no task gate found worse: what "equally good" can be told by."""
    worse = GateResult.objects.filter(run__pipeline=pipeline, kind="task", effect="block", verdict="failed")
    cards = Scorecard.objects.filter(run__pipeline=pipeline).exclude(run__in=worse.values("run")).order_by("-id")
    return list(cards.select_related("version")[:LOOKED_BACK])


def flips_of(cards: list[Scorecard], kind: str, still: set[str] | None = None) -> FlipRate:
    """How often a retrain that was not worse failed a case of the set; `still`: only failures of these cases count."""
    measured = [card.cases[kind] for card in cards if isinstance(card.cases.get(kind), dict)]
    failed = [key for one in measured for key in one.get("failed", {}).get("candidate", ())]
    counted = [key for key in failed if still is None or key in still]
    return FlipRate(len(counted), sum(one["n"] for one in measured))


def flipped(cards: list[Scorecard], kind: str) -> Counter[str]:
    """Per case, how many retrains that were not worse failed it: these are proposed for removal."""
    measured = [card.cases[kind] for card in cards if isinstance(card.cases.get(kind), dict)]
    return Counter(key for one in measured for key in one.get("failed", {}).get("candidate", ()))


def cases_of(made: EvalSet, text: str = "", check: str = "") -> QuerySet[EvalCase]:
    """The cases in which `text` stands, in the question or in what is expected."""
    rows = made.cases.order_by("id")
    if check:
        rows = rows.filter(check_name=check)
    if text:
        rows = rows.annotate(said=Cast("messages", TextField()), wanted=Cast("expected", TextField()))
        escaped = json.dumps(text)[1:-1]  # How SQLite keeps a letter outside ASCII.
        fields = ("key", "said", "wanted")
        anywhere = (Q(**{f"{name}__icontains": form}) for name in fields for form in {text, escaped})
        rows = rows.filter(reduce(or_, anywhere))
    return rows


def checks_of(made: EvalSet) -> list[tuple[str, int]]:
    """(check, cases), the commonest first."""
    return Counter(made.cases.values_list("check_name", flat=True)).most_common()


@dataclass(frozen=True)
class Candidates:
    """Held-out cases that production answers right, each with its history; those in the regression set left out."""

    cases: dict[str, EvalCase]
    histories: tuple[History, ...]
    flips: FlipRate
    retrains: int
    measured: Scorecard | None


def candidates(pipeline: Pipeline) -> Candidates:
    """Reads the answers of the latest retrains: seconds for a dozen of them, so on its own page only."""
    state = PipelineState.objects.filter(pipeline=pipeline).first()
    heldout = EvalSet.objects.filter(pipeline=pipeline, kind=EvalKind.HELDOUT).order_by("-version").first()
    cards = [card for card in not_worse(pipeline) if isinstance(card.cases.get("heldout"), dict)]
    if heldout is None or state is None or state.production_id is None or not cards:
        return Candidates({}, (), FlipRate(0, 0), 0, None)
    cases = {case.input_digest: case for case in heldout.cases.order_by("id")}
    answered = _answered(pipeline, cards, int(state.production_id))
    histories = tuple(_histories(cases, answered))
    kept = _in_regression(pipeline)
    shown = tuple(one for one in histories if one.production and one.key not in kept)
    names = {name for one in histories for name in one.retrains}
    return Candidates(cases, shown, flip_rate(histories), len(names), cards[0])


Answered = dict[str, dict[str, tuple[bool, bool]]]
"""{input digest: {"production" or a version's label: (right, is production's)}}."""


def _answered(pipeline: Pipeline, cards: list[Scorecard], production: int) -> Answered:
    keys = _digests_by_key(pipeline, cards)
    found: Answered = {}
    for card in cards:
        for row in _rows(card):
            digest = keys.get((card.pk, row["id"]))
            if digest is None:
                continue
            is_production = (card.production_id if row["arm"] == "production" else card.version_id) == production
            name = "production" if is_production else card.version.label
            if is_production or row["arm"] == "candidate":
                found.setdefault(digest, {}).setdefault(name, (row["score"] >= 1.0, is_production))
    return found


def _digests_by_key(pipeline: Pipeline, cards: list[Scorecard]) -> dict[tuple[int, str], str]:
    """{(scorecard, case key): input digest}: a key may mean another question in another version of the set."""
    versions = {card.pk: (card.cases.get("set_versions") or {}).get("heldout") for card in cards}
    of_sets = {"eval_set__pipeline": pipeline, "eval_set__kind": EvalKind.HELDOUT}
    rows = EvalCase.objects.filter(**of_sets, eval_set__version__in=set(versions.values()) - {None})
    by_version: dict[int, dict[str, str]] = {}
    for version, key, digest in rows.values_list("eval_set__version", "key", "input_digest"):
        by_version.setdefault(version, {})[key] = digest
    known = {pk: by_version.get(int(v), {}) for pk, v in versions.items() if v}
    return {(pk, key): digest for pk, found in known.items() for key, digest in found.items()}


def _rows(card: Scorecard) -> Iterator[dict[str, Any]]:
    try:
        path = store_of(card.client_id).verified(card.answers_digest)
    except (ArtifactDamaged, ArtifactMissing):
        return  # Swept by the client's retention.
    with path.open(encoding="utf-8") as lines:
        yield from (row for row in map(json.loads, lines) if row["set"] == "heldout")


def _histories(cases: dict[str, EvalCase], answered: Answered) -> Iterator[History]:
    for digest, case in cases.items():
        said = answered.get(digest, {})
        retrains = {name: right for name, (right, is_production) in said.items() if not is_production}
        yield History(digest, group_of(case), said.get("production", (False, True))[0], retrains)


def group_of(case: EvalCase) -> str:
    """What a balanced set is balanced by: the label, else the check."""
    return str(case.expected.get("label") or case.check_name)


def _in_regression(pipeline: Pipeline) -> set[str]:
    made = EvalSet.objects.filter(pipeline=pipeline, kind=EvalKind.REGRESSION).order_by("-version").first()
    return set(made.cases.values_list("input_digest", flat=True)) if made else set()
