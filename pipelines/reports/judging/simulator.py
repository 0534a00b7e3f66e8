"""What past verdicts would have been with a gate set otherwise: from the stored numbers, by the same judge."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.domain import gates as judge
from pipelines.domain.paired import holm_adjusted
from pipelines.domain.simulation.replay import judged_again
from pipelines.domain.verdicts import Effect, Verdict
from pipelines.models import GateResult, Run, Scorecard
from pipelines.records.gate_specs import spec_of
from tenants.models import Pipeline
from tenants.pipeline_settings import Gate

LOOKED_BACK = 50


@dataclass(frozen=True)
class Replayed:
    """One past run: the gate's verdict then and now, and what follows for the run. `is_known` is False where the
    stored numbers do not tell."""

    run: Run
    then: GateResult
    verdict: Verdict
    sentence: str
    consequence_then: str
    consequence: str
    is_known: bool

    @property
    def changes(self) -> bool:
        return str(self.then.verdict) != self.verdict.value or self.consequence_then != self.consequence


def simulate(pipeline: Pipeline, gate: Gate) -> tuple[Replayed, ...]:
    """The latest runs that this gate judged, newest first."""
    runs = Run.objects.filter(pipeline=pipeline, gates__name=gate.name).select_related("revision").order_by("-number")
    found = list(runs.prefetch_related("gates")[:LOOKED_BACK])
    first = set(Scorecard.objects.filter(run__in=found, production=None).values_list("run_id", flat=True))
    return tuple(_replayed(run, gate, run.pk in first) for run in found)


def _replayed(run: Run, gate: Gate, is_first: bool) -> Replayed:
    rows = list(run.gates.all())
    then = [_stored(run, row) for row in rows]
    place = next(i for i, row in enumerate(rows) if row.name == gate.name)
    specs = [result.spec for result in then]
    specs[place] = spec_of(gate, run.revision.settings.criteria)
    adjusted = holm_adjusted(_family(specs, rows))
    now = [_again(spec, row, old, adjusted) for spec, row, old in zip(specs, rows, then, strict=True)]
    before, after = (f"run_{judge.overall(results, is_first).consequence.value}" for results in (then, now))
    known = judged_again(specs[place], rows[place].numbers) is not None
    said = now[place]
    return Replayed(run, rows[place], said.verdict, said.sentence, before, after, known)


def _family(specs: list[judge.GateSpec], rows: list[GateResult]) -> dict[str, float]:
    """The p values that share one error rate: of blocking task gates that ask for "at least production"."""
    return {
        row.name: float(row.numbers["p_worse"])
        for spec, row in zip(specs, rows, strict=True)
        if spec.decides and spec.rule is judge.Rule.AT_LEAST_PRODUCTION and row.numbers.get("p_worse") is not None
    }


def _again(
    spec: judge.GateSpec, row: GateResult, old: judge.GateResult, adjusted: dict[str, float]
) -> judge.GateResult:
    found = judged_again(spec, row.numbers, adjusted.get(row.name))
    return replace(found or replace(old, spec=spec), waived=old.waived)


def _stored(run: Run, row: GateResult) -> judge.GateResult:
    """The verdict as it stands in the log."""
    said = (Verdict(row.verdict), row.sentence, row.numbers)
    result = judge.GateResult(_spec(run, row), *said, no_production=row.lacks_production)
    return replace(result, waived="waived") if row.is_waived else result


def _spec(run: Run, row: GateResult) -> judge.GateSpec:
    """As it was judged; verdicts of judge 1 did not keep it, so that the run's settings tell."""
    if row.spec:
        kept = row.spec
        kind, rule = judge.GateKind(row.kind), judge.Rule(kept["rule"])
        return judge.GateSpec(kind, kept["metric"], rule, Effect(row.effect), kept["params"], row.is_shadow)
    settings = run.revision.settings
    gate = next((g for g in settings.gates if g.name == row.name), None)
    if gate is not None:
        return spec_of(gate, settings.criteria)
    kind, effect = judge.GateKind(row.kind), Effect(row.effect)
    return judge.GateSpec(kind, row.name, judge.Rule.ALL_PASS, effect, shadow=row.is_shadow)
