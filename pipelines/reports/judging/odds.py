"""How often each gate keeps back an equally good retrain, and what harm it catches, on the sets a pipeline has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import Any

from django.utils.translation import gettext as _

from pipelines.domain.gates import GateSpec, Rule
from pipelines.domain.simulation import AtHand, Odds, combined, odds_of
from pipelines.domain.stability import FlipRate
from pipelines.models import GateResult
from pipelines.records.gate_specs import spec_of
from pipelines.reports.evaluation.eval_sets import flips_of, not_worse
from tenants.models import EvalSet, Pipeline
from tenants.models.eval_set import EvalKind
from tenants.pipeline_settings import Gate, PipelineSettings

LOOKED_BACK = 40
ASSUMED_DISCORDANCE, ASSUMED_FLIP, ASSUMED_LATENCY_SD, ASSUMED_P95_MS = 0.05, 0.001, 0.05, 50.0
LEAST_CASES = 100  # Below, what was observed says less than what is assumed.
_TWICE_Z = 2 * 1.959964


@dataclass(frozen=True)
class Learned:
    """One figure that odds rest on, and where it comes from."""

    name: str
    value: float
    source: str


@dataclass(frozen=True)
class OddsLine:
    """One gate: its odds as configured, None where no chance decides; and with the other preset, where it has one."""

    gate: Gate
    odds: Odds | None
    other: str = ""
    other_odds: Odds | None = None


@dataclass(frozen=True)
class GateOdds:
    lines: tuple[OddsLine, ...]
    kept_back: float
    learned: tuple[Learned, ...]
    at_hand: AtHand


def gate_odds(pipeline: Pipeline, settings: PipelineSettings) -> GateOdds:
    """Seconds for sets of thousands of cases: ask for it apart from the page."""
    specs = [(gate, spec_of(gate, settings.criteria)) for gate in settings.gates]
    family = sum(spec.decides and spec.rule is Rule.AT_LEAST_PRODUCTION for _gate, spec in specs)
    at_hand, learned = _at_hand(pipeline)
    at_hand = replace(at_hand, family=max(1, family))
    lines = tuple(_line(gate, spec, at_hand) for gate, spec in specs if _exists(spec, at_hand))
    deciding = [line.odds for line in lines if line.odds and line.gate.effect == "block" and not line.gate.shadow]
    return GateOdds(lines, combined(deciding), learned, at_hand)


def _exists(spec: GateSpec, at_hand: AtHand) -> bool:
    return spec.kind not in ("regression", "safety") or spec.metric in at_hand.must_pass


def _line(gate: Gate, spec: GateSpec, at_hand: AtHand) -> OddsLine:
    found = odds_of(spec, at_hand)
    if spec.rule is not Rule.AT_LEAST_PRODUCTION:
        return OddsLine(gate, found)
    other = "refresh" if gate.preset == "strict" else "strict"
    params = {name: value for name, value in spec.params.items() if name != "tolerance"} | {"preset": other}
    return OddsLine(gate, found, other, odds_of(replace(spec, params=params), at_hand))


def _at_hand(pipeline: Pipeline) -> tuple[AtHand, tuple[Learned, ...]]:
    sizes = _sizes(pipeline)
    past = list(GateResult.objects.filter(run__pipeline=pipeline).order_by("-id")[:LOOKED_BACK])
    paired = [r.numbers for r in past if r.kind == "task" and r.numbers.get("plus") is not None]
    noise, flip, latency = _discordance(paired), _flip(pipeline), _latency(past)
    found = AtHand(
        cases=sizes.get(EvalKind.HELDOUT, 0),
        discordance=noise.value,
        production=float(paired[0]["production"]) if paired else 0.9,
        graded=_graded(past),
        must_pass={kind: sizes[kind] for kind in (EvalKind.REGRESSION, EvalKind.SAFETY) if kind in sizes},
        flip=flip.value,
        latency_sd=latency.value,
        p95_ms=_p95_ms(past),
    )
    return found, (noise, flip, latency)


def _sizes(pipeline: Pipeline) -> dict[str, int]:
    """The newest version of each kind, and how many cases it has."""
    rows = EvalSet.objects.filter(pipeline=pipeline).order_by("version").values_list("kind", "size")
    return dict(rows)


def _discordance(paired: list[dict[str, Any]]) -> Learned:
    """Twice the smaller side: what was won or lost beyond it may be a real difference."""
    name, cases = _("cases on which two equal models differ"), sum(int(n["n"]) for n in paired)
    differing = sum(2 * min(int(n["plus"]), int(n["minus"])) for n in paired)
    if cases < LEAST_CASES or not differing:
        return Learned(name, ASSUMED_DISCORDANCE, _("assumed: no verdict tells yet"))
    words = {"n": len(paired), "cases": cases}
    return Learned(name, min(0.5, differing / cases), _("from %(n)s verdicts on %(cases)s answers") % words)


def _flip(pipeline: Pipeline) -> Learned:
    name, cards = _("chance that one stable case flips"), not_worse(pipeline)
    found = [flips_of(cards, kind) for kind in (EvalKind.REGRESSION, EvalKind.SAFETY)]
    flips, asked = sum(f.flips for f in found), sum(f.seen for f in found)
    if asked < LEAST_CASES:
        return Learned(name, ASSUMED_FLIP, _("assumed: fewer than %(n)s answers were seen") % {"n": LEAST_CASES})
    return Learned(name, FlipRate(flips, asked).rate or 0.0, _("%(f)s of %(n)s answers") % {"f": flips, "n": asked})


def _latency(past: list[GateResult]) -> Learned:
    name = _("spread of the latency ratio after one round")
    timed = next((r.numbers for r in past if r.kind == "latency" and r.numbers.get("ratio_low")), None)
    if timed is None:
        return Learned(name, ASSUMED_LATENCY_SD, _("assumed: nothing was timed yet"))
    width = log(float(timed["ratio_high"])) - log(float(timed["ratio_low"]))
    spread = width / _TWICE_Z * float(timed.get("rounds") or 1) ** 0.5
    return Learned(name, max(spread, 1e-4), _("from the last run, %(n)s calls") % {"n": timed["n"]})


def _p95_ms(past: list[GateResult]) -> float:
    timed = (r.numbers.get("production") for r in past if r.kind == "latency")
    return float(next((value for value in timed if value), ASSUMED_P95_MS))


def _graded(past: list[GateResult]) -> dict[str, float]:
    """Variance of one case's difference, per metric whose cases are not right or wrong."""
    found: dict[str, float] = {}
    for result in past:
        numbers = result.numbers
        if result.kind == "task" and numbers.get("plus") is None and numbers.get("drop_high") is not None:
            half = (float(numbers["drop_high"]) - float(numbers["drop_low"])) / 2
            found.setdefault(str(result.spec.get("metric", result.name)), float(numbers["n"]) * (half / 1.644854) ** 2)
    return found
