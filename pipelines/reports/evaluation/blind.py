"""Blind A/B review: which pair a person sees next, and what people preferred so far."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from pipelines.artifacts import store_of
from pipelines.domain.paired import Pairs, tango_interval
from pipelines.models import Run, Scorecard
from pipelines.models.blind_vote import BlindVote, Choice
from tenants.models import EvalCase
from tenants.models.eval_set import EvalKind

TWO_SIDED_95 = 1.959964


@dataclass(frozen=True)
class BlindPair:
    """One case; which of left and right is the candidate's answer is not told."""

    key: str
    messages: list[dict[str, str]]
    left: str
    right: str


@dataclass(frozen=True)
class Review:
    """`pair` is None when the voter has seen them all, `total` 0 when no two answers differ."""

    pair: BlindPair | None
    done: int
    total: int


@dataclass(frozen=True)
class Preference:
    """Over cases, by the majority of their voters. `share`: won by the candidate, ties half; with its interval."""

    cases: int
    votes: int
    voters: int
    wins: int
    losses: int
    share: float
    low: float
    high: float

    @property
    def ties(self) -> int:
        return self.cases - self.wins - self.losses


def review(run: Run, voter: str) -> Review:
    """Cases in an order of the voter's own, so that the first ones are not everybody's first ones."""
    answers = differing(run)
    voted = set(BlindVote.objects.filter(run=run, voter=voter).values_list("case_key", flat=True))
    order = sorted(answers, key=lambda key: _coin(run, voter, key, "order"))
    following = next((key for key in order if key not in voted), None)
    pair = _pair(run, voter, following, answers[following]) if following else None
    return Review(pair, len(voted & answers.keys()), len(answers))


def chosen(run: Run, voter: str, key: str, side: str) -> Choice | None:
    """What a click on "left", "right" or "same" stands for; None for no such side or case."""
    if side not in ("left", "right", "same") or key not in differing(run):
        return None
    if side == "same":
        return Choice.SAME
    return Choice.CANDIDATE if (side == "right") == _candidate_is_right(run, voter, key) else Choice.PRODUCTION


def differing(run: Run) -> dict[str, dict[str, str]]:
    """{case: {arm: answer}} of the held-out cases to which candidate and production answered otherwise."""
    card = Scorecard.objects.filter(run=run, production__isnull=False).first()
    if card is None or not store_of(run.client_id).has(card.answers_digest):
        return {}
    found: dict[str, dict[str, str]] = defaultdict(dict)
    with store_of(run.client_id).verified(card.answers_digest).open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["set"] == EvalKind.HELDOUT:
                found[row["id"]][row["arm"]] = row["answer"]
    return {key: arms for key, arms in found.items() if len({text.strip() for text in arms.values()}) > 1}


def _pair(run: Run, voter: str, key: str, arms: dict[str, str]) -> BlindPair:
    candidate, production = arms["candidate"], arms["production"]
    sides = (production, candidate) if _candidate_is_right(run, voter, key) else (candidate, production)
    return BlindPair(key, _asked(run, key), *sides)


def _asked(run: Run, key: str) -> list[Any]:
    version = (run.scorecard.cases.get("set_versions") or {}).get("heldout")
    of_set = {
        "eval_set__pipeline_id": run.pipeline_id,
        "eval_set__kind": EvalKind.HELDOUT,
        "eval_set__version": version,
    }
    case = EvalCase.objects.filter(**of_set, key=key).first()
    return case.messages if case else []


def _candidate_is_right(run: Run, voter: str, key: str) -> bool:
    return int(_coin(run, voter, key, "side")[0], 16) % 2 == 1


def _coin(run: Run, voter: str, key: str, what: str) -> str:
    """Fair, and the same at every look, so that reloading a page tells nothing."""
    return hashlib.sha256(f"{run.pk}|{voter}|{key}|{what}|{run.scorecard.answers_digest}".encode()).hexdigest()


def preference(run: Run) -> Preference | None:
    votes = list(BlindVote.objects.filter(run=run).values_list("case_key", "choice", "voter"))
    if not votes:
        return None
    by_case: dict[str, Counter[str]] = defaultdict(Counter)
    for key, choice, _voter in votes:
        by_case[key][choice] += 1
    leads = [counts[Choice.CANDIDATE] - counts[Choice.PRODUCTION] for counts in by_case.values()]
    pairs = Pairs(len(leads), sum(lead > 0 for lead in leads), sum(lead < 0 for lead in leads))
    low, high = tango_interval(pairs, TWO_SIDED_95)
    voters = len({voter for _k, _c, voter in votes})
    bounds = ((1 - drop) / 2 for drop in (pairs.drop, high, low))
    return Preference(pairs.n, len(votes), voters, pairs.plus, pairs.minus, *bounds)
