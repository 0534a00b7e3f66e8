"""Stage 5, compare. Takes: the scorecard. Gives: a verdict of every gate and what follows.

Idempotent by (run, gate).
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from pipelines.domain import gates as judge
from pipelines.domain.gates.spec import JUDGE_VERSION
from pipelines.engine.outcome import Done, Given, Hold, Outcome, Stop
from pipelines.models import GateResult, Run, Scorecard, Waiver
from pipelines.records.gate_specs import has_set, spec_body, spec_of
from pipelines.records.scorecard import evidence_of
from pipelines.records.waivers import in_force
from tenants.pipeline_settings import Gate


def run(run: Run, given: Given, now: datetime) -> Outcome:
    card = Scorecard.objects.select_related("version", "production").get(run=run)
    measured = {*card.cases, *card.cases.get("set_versions", {})}
    gates = [gate for gate in given.settings.gates if has_set(gate, measured)]
    specs = [spec_of(gate, given.settings.criteria) for gate in gates]
    waivers = in_force(run.pipeline_id, now)
    results = judge.judge_all(specs, evidence_of(card))
    results = tuple(_under(waivers.get(gate.name), result) for gate, result in zip(gates, results, strict=True))
    _keep(run, list(zip(gates, results, strict=True)), waivers, now)
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


def _under(waiver: Waiver | None, result: judge.GateResult) -> judge.GateResult:
    return result.waived_by(waiver.words) if waiver else result


@transaction.atomic
def _keep(run: Run, judged: list[tuple[Gate, judge.GateResult]], waivers: dict[str, Waiver], now: datetime) -> None:
    # Judged again after an approval: the same evidence gives the same rows.
    GateResult.objects.filter(run=run).delete()
    rows = [_row(run, gate, result, now) for gate, result in judged]
    for position, row in enumerate(rows):
        row.position, row.waiver = position, waivers.get(row.name)
    GateResult.objects.bulk_create(rows)


def _row(run: Run, gate: Gate, result: judge.GateResult, now: datetime) -> GateResult:
    fields = {"name": gate.name, "kind": gate.kind, "effect": gate.effect, "is_shadow": gate.shadow, "created_at": now}
    said = {"verdict": result.verdict.value, "sentence": result.sentence, "judge_version": JUDGE_VERSION}
    numbers = dict(result.numbers) | {"cases": list(result.cases)}
    return GateResult.of(run, run=run, numbers=numbers, spec=spec_body(result.spec), **fields, **said)
