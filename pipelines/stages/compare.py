"""Stage 5, compare. Takes: the scorecard. Gives: a verdict of every gate and what follows.

Idempotent by (run, gate).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from pipelines.domain import gates as judge
from pipelines.domain.gates.spec import JUDGE_VERSION
from pipelines.domain.verdicts import Effect
from pipelines.engine.outcome import Done, Given, Hold, Outcome, Stop
from pipelines.models import GateResult, Run, Scorecard
from pipelines.records.scorecard import evidence_of
from tenants.pipeline_settings import Gate

POINTS = 100.0


def run(run: Run, given: Given, now: datetime) -> Outcome:
    card = Scorecard.objects.select_related("version", "production").get(run=run)
    # A gate whose set is not configured does not exist.
    gates = [
        gate for gate in given.settings.gates if gate.kind not in ("regression", "safety") or gate.kind in card.cases
    ]
    results = judge.judge_all([spec_of(gate) for gate in gates], evidence_of(card))
    _keep(run, gates, results, now)
    verdict = judge.overall(results, first_version=card.production is None)
    reason = "; ".join(verdict.reasons)
    match verdict.consequence:
        case judge.Consequence.REJECT:
            return Stop("rejected", reason)
        case judge.Consequence.HOLD if not run.approvals.get("compare"):
            return Hold(reason)
        case _:
            return Done(
                {"verdict": verdict.verdict.value, "reasons": list(verdict.reasons), "notices": list(verdict.notices)}
            )


def spec_of(gate: Gate) -> judge.GateSpec:
    """The client's gate in the judge's own terms: shares instead of points."""
    params: dict[str, Any] = {}
    match gate.rule:
        case "at_least_production":
            params = {"preset": gate.preset}
        case "max_drop" | "min_improvement":
            params = {"rel": gate.limit or 0.0} if gate.relative else {"abs": (gate.limit or 0.0) / POINTS}
            params |= {"or_no_regression": True} if gate.rule == "min_improvement" and gate.effect == "flag" else {}
        case "within":
            params = {"rel": gate.limit or 0.0} | ({"both_sides": True} if gate.kind == "size" else {})
        case "absolute":
            params = {"max" if gate.kind in ("latency", "size") else "min": gate.limit or 0.0}
    kind, rule = judge.GateKind(gate.kind), judge.Rule(gate.rule)
    return judge.GateSpec(kind, gate.metric, rule, Effect(gate.effect), params, gate.shadow)


@transaction.atomic
def _keep(run: Run, gates: list[Gate], results: tuple[judge.GateResult, ...], now: datetime) -> None:
    GateResult.objects.filter(
        run=run
    ).delete()  # Judged again after an approval: the same evidence gives the same rows.
    rows = [_row(run, n, gate, result, now) for n, (gate, result) in enumerate(zip(gates, results, strict=True))]
    GateResult.objects.bulk_create(rows)


def _row(run: Run, position: int, gate: Gate, result: judge.GateResult, now: datetime) -> GateResult:
    fields = {"name": gate.name, "kind": gate.kind, "effect": gate.effect, "is_shadow": gate.shadow, "created_at": now}
    said = {"verdict": result.verdict.value, "sentence": result.sentence, "judge_version": JUDGE_VERSION}
    numbers = dict(result.numbers) | {"cases": list(result.cases)}
    return GateResult.of(run, run=run, position=position, numbers=numbers, **fields, **said)
