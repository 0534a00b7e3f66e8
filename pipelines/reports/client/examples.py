"""Real answers before and after a version, and which of them strangers may read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pipelines.models import ModelVersion, Scorecard
from pipelines.reports.judging.comparison import CaseLine, Wanted, comparison, with_questions
from tenants.models import SharedExample

EXAMPLES = 10
DIFFERENT = {"won": "better", "lost": "worse", "reworded": "reworded", "flaky": "flaky"}


@dataclass(frozen=True)
class Example:
    """One question of the held-out set, answered by the version before and by this one.

    `digest` is of the version and of every word that is shown: what was approved under it is just this.
    """

    key: str
    question: str
    before: str
    after: str
    change: str
    digest: str
    is_shared: bool


def examples_of(version: ModelVersion, is_public: bool) -> tuple[Example, ...]:
    """Up to ten answers that differ, drawn by their keys: neither the best nor the worst. For those without an account
    (`is_public`) only what was approved for sharing, word by word. Never of the safety or regression set."""
    found = examples_to_share(version)
    return tuple(one for one in found if one.is_shared or not is_public)[:EXAMPLES]


def examples_to_share(version: ModelVersion) -> tuple[Example, ...]:
    """What staff choose from: the ten that people with an account see, and behind them whatever else was approved."""
    card = Scorecard.objects.filter(version=version).select_related("version").first()
    if card is None or card.production_id is None:
        return ()
    rows = SharedExample.objects.filter(pipeline_id=version.pipeline_id, version=version.number)
    shared = dict(rows.values_list("digest", "key"))
    lines = [line for line in comparison(card, Wanted(set="heldout")).lines if line.change in DIFFERENT]
    drawn = sorted(lines, key=lambda line: hashlib.sha256(line.key.encode()).digest())
    chosen = drawn[:EXAMPLES] + [line for line in drawn[EXAMPLES:] if line.key in shared.values()]
    found = _examples(version, with_questions(card, chosen), shared.keys())
    return tuple(one for place, one in enumerate(found) if place < EXAMPLES or one.is_shared)


def _examples(version: ModelVersion, lines: list[CaseLine], shared: Collection[str]) -> Iterator[Example]:
    for line in lines:
        said = (line.key, line.question, line.production.text if line.production else "", line.candidate.text)
        digest = hashlib.sha256(json.dumps([version.number, *said]).encode()).hexdigest()
        yield Example(*said, DIFFERENT[line.change], digest, digest in shared)
