"""The scorecard of a run, and the evidence that the gates read from it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pipelines.artifacts import store_of
from pipelines.domain.gates import Evidence, FileSizes, LatencyPairs, PairedScores, SetOutcome
from pipelines.domain.gates.corpus import corpus_score
from pipelines.domain.gates.evidence import CorpusScore, Direction
from pipelines.metrics import Row, is_corpus
from pipelines.models import ModelVersion, PipelineState, Run, Scorecard
from pipelines.records.judged import WITHOUT_RIVAL, not_judged
from pipelines.records.tallies import corpus_table
from tenants.pipeline_settings import JUDGED

MUST_PASS = ("regression", "safety")


def keep_scorecard(run: Run, version: ModelVersion, measured: dict[str, Any], now: datetime) -> Scorecard:
    """The run's scorecard out of what the evaluation gave; found afterwards."""
    found = Scorecard.objects.filter(run=run).first()
    if found is not None:
        return found
    heldout = measured["sets"].get("heldout", {})
    fields = {
        "production_id": measured["production_version"],
        "metrics": heldout.get("metrics", {}),
        "cases": measured["sets"]
        | {"set_versions": measured["set_versions"], "times_digest": measured["times_digest"]}
        | {"left_out": measured.get("left_out", {})},
        "latency_ms": _flat(measured["latency"]),
        "answers_digest": measured["answers_digest"],
        "engine": measured["engine"],
        "created_at": now,
    }
    made = Scorecard.of(run, run=run, version=version, **fields)
    made.save()
    return made


def _flat(latency: dict[str, Any] | None) -> dict[str, Any]:
    """{"calls", "rounds", "candidate_p50", ... "production_p99"} in ms."""
    if latency is None:
        return {}
    flat = {"calls": latency["calls"], "rounds": latency["rounds"]}
    for arm in ("candidate", "production"):
        flat |= {f"{arm}_{name}": value for name, value in (latency.get(arm) or {}).items()}
    return flat


def evidence_of(card: Scorecard) -> Evidence:
    """What was measured, in the gates' own terms."""
    rows = list(_lines(card, card.answers_digest))
    heldout = [row for row in rows if row["set"] == "heldout"]
    corpus, unmeasured = _corpus(card, heldout)
    return Evidence(
        paired=_paired(card, heldout),
        corpus=corpus,
        unmeasured=unmeasured | not_judged(card.cases),
        sets={kind: _passed(kind, rows, card) for kind in MUST_PASS if kind in card.cases},
        latency=_latency(card),
        sizes=_sizes(card),
        stale=stale(card),
    )


def stale(card: Scorecard) -> str:
    """Why the scorecard no longer compares with production: another version took its place since."""
    state = PipelineState.objects.select_related("production").get(pipeline_id=card.version.pipeline_id)
    if state.production_id == card.production_id:
        return ""
    was, now = (version.label if version else "none" for version in (card.production, state.production))
    return f"production was {was} when it was measured and is {now} now; start a new run"


def _lines(card: Scorecard, digest: str) -> Iterator[dict[str, Any]]:
    with store_of(card.client_id).verified(digest).open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file)


def _paired(card: Scorecard, rows: list[dict[str, Any]]) -> dict[str, PairedScores]:
    has_production = card.production_id is not None
    found: dict[str, PairedScores] = {}
    for metric, facts in card.metrics.items():
        if is_corpus(metric) or metric in not_judged(card.cases):
            continue
        if metric == JUDGED and not has_production:
            found[metric] = WITHOUT_RIVAL
            continue
        direction = Direction.HIGHER if facts["higher_is_better"] else Direction.LOWER
        production = _scores(rows, "production", metric) if has_production else None
        found[metric] = PairedScores(_scores(rows, "candidate", metric), production, direction)
    return found


def _scores(rows: list[dict[str, Any]], arm: str, metric: str) -> dict[str, float]:
    return {row["id"]: row["scores"][metric] for row in rows if row["arm"] == arm and metric in row["scores"]}


def _corpus(card: Scorecard, rows: list[dict[str, Any]]) -> tuple[dict[str, CorpusScore], dict[str, str]]:
    """Scores of the corpus metrics, and why some have none."""
    found: dict[str, CorpusScore] = {}
    unmeasured: dict[str, str] = {}
    for metric, facts in card.metrics.items():
        if not is_corpus(metric):
            continue
        arms = [_answered(rows, arm, metric) for arm in _arms(card)]
        alone = len(arms[0].keys() ^ arms[-1].keys())
        if alone:
            unmeasured[metric] = f"not comparable: {alone} cases were answered by one side only"
        else:
            found[metric] = _corpus_score(metric, facts, [[arm[case] for case in sorted(arm)] for arm in arms])
    return found, unmeasured


def _arms(card: Scorecard) -> tuple[str, ...]:
    return ("candidate", "production") if card.production_id is not None else ("candidate",)


def _answered(rows: list[dict[str, Any]], arm: str, metric: str) -> dict[str, Row]:
    mine = (row for row in rows if row["arm"] == arm and metric in row["scores"])
    return {row["id"]: Row(row["expected"], row["answer"]) for row in mine}


def _corpus_score(metric: str, facts: dict[str, Any], arms: list[list[Row]]) -> CorpusScore:
    direction = Direction.HIGHER if facts["higher_is_better"] else Direction.LOWER
    table = corpus_table(metric, arms)
    if table is not None:
        return corpus_score(table, direction)
    candidate = math.nan if facts.get("candidate") is None else facts["candidate"]
    return CorpusScore(candidate, facts.get("production"), len(arms[0]), direction=direction)


def _passed(kind: str, rows: list[dict[str, Any]], card: Scorecard) -> SetOutcome:
    mine = {r["id"]: r["score"] >= 1.0 for r in rows if r["set"] == kind and r["arm"] == "candidate"}
    return SetOutcome(mine, tuple(card.cases[kind]["flaky"]["candidate"]))


def _latency(card: Scorecard) -> LatencyPairs | None:
    digest = card.cases.get("times_digest")
    if not digest:
        return None
    pairs = list(_lines(card, digest))
    production = tuple(p["production_ms"] for p in pairs) if card.production_id else None
    return LatencyPairs(tuple(p["candidate_ms"] for p in pairs), production, card.latency_ms["rounds"])


def _sizes(card: Scorecard) -> FileSizes:
    return FileSizes(card.version.gguf_bytes, card.production.gguf_bytes if card.production else None)
