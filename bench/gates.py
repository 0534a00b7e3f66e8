"""What the gates do to equal retrains and to harmed ones: exact by enumeration, and simulated case by case.

false_fail_rate: equal retrains called worse (n=400, 5 % discordant), by the rule itself over every outcome.
power_at_mde: share of retrains that are called worse when the drop is the exact 80 % MDE.
kept_back_rate_strict, kept_back_rate_refresh: equal retrains that do not pass, by preset.
simulated_*: 10,000 retrains that answer each case by a chance of its own (no copies), through the judge with three
blocking metrics and Holm; f1_*: macro-F1 by swapped answers, over 2,000 retrains.
The tables below the figures are those of docs/reference/gates.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bench.report import Figure, at_least, at_most, report, wants_json
from pipelines.domain.gates import Evidence, GateKind, GateSpec, PairedScores, Rule, judge_all, overall
from pipelines.domain.gates.corpus import CorpusTable, swapped_differences
from pipelines.domain.gates.spec import Param
from pipelines.domain.power import all_pass_block_rate, smallest_detectable_drop, verdict_rates
from pipelines.domain.simulation.odds import AtHand, decide_pairs, latency_rates, odds_of
from pipelines.domain.verdicts import Verdict
from pipelines.records.tallies import f1_counts, f1_figure

CASES, DISCORDANT, ACCURACY = 400, 0.05, 0.9
RUNS, F1_RUNS, F1_CASES, F1_LABELS = 10_000, 2_000, 200, 8
METRICS = ("accuracy", "exact_match", "normalised_match")
TARGETS = {
    "false_fail_rate": at_most(0.05),
    "power_at_mde": at_least(0.79),
    "kept_back_rate_refresh": at_most(0.25),
    "simulated_false_fail_rate_3_metrics": at_most(0.05),
    "f1_false_fail_rate": at_most(0.06),
}
Bools = NDArray[np.bool_]


def main() -> None:
    as_json = wants_json()
    figures: dict[str, Figure] = enumerated() | simulated() | simulated_f1()
    print_tables()
    report("gates", figures, TARGETS, as_json)


def gate(metric: str = "accuracy", **params: Param) -> GateSpec:
    return GateSpec(GateKind.TASK, metric, Rule.AT_LEAST_PRODUCTION, params=params)


def rates(spec: GateSpec, n: int, d: float, drop: float) -> dict[Verdict, float]:
    return verdict_rates(n, d, drop, lambda pairs: decide_pairs(spec, pairs, ACCURACY))


def enumerated() -> dict[str, Figure]:
    strict, refresh = gate(preset="strict"), gate(preset="refresh")
    mde = smallest_detectable_drop(CASES, DISCORDANT)
    assert mde is not None
    equal = {spec.params["preset"]: rates(spec, CASES, DISCORDANT, 0.0) for spec in (strict, refresh)}
    return {
        "false_fail_rate": equal["strict"][Verdict.FAILED],
        "power_at_mde": rates(strict, CASES, DISCORDANT, mde)[Verdict.FAILED],
        "mde_points": 100 * mde,
        "kept_back_rate_strict": 1 - equal["strict"][Verdict.PASSED],
        "kept_back_rate_refresh": 1 - equal["refresh"][Verdict.PASSED],
    }


def chances(rng: np.random.Generator) -> NDArray[np.float64]:
    """Per case the chance to be right, such that accuracy and discordance of two draws are as wanted."""
    spread = ACCURACY * (1 - ACCURACY) / (ACCURACY * (1 - ACCURACY) - DISCORDANT / 2) - 1
    total = 1 / spread if spread > 0 else 1e9
    return rng.beta(ACCURACY * total, (1 - ACCURACY) * total, CASES)


def retrains(rng: np.random.Generator, drop: float) -> Iterator[tuple[Bools, Bools]]:
    """(candidate, production) for each metric: a right answer may still miss a stricter metric, alike for both."""
    right = chances(rng)
    harmed = np.clip(right - drop * right / right.mean(), 0, 1)
    candidate, production = rng.random(CASES) < harmed, rng.random(CASES) < right
    yield candidate, production
    for missed in (0.02, 0.05):
        yield candidate & (rng.random(CASES) > missed), production & (rng.random(CASES) > missed)


def simulated() -> dict[str, Figure]:
    rng, specs = np.random.default_rng(11), [gate(metric, preset="refresh") for metric in METRICS]
    outcomes = [judged(specs, rng, 0.0) for _ in range(RUNS)]
    harmed = [judged(specs, rng, 0.05) for _ in range(RUNS // 10)]
    return {
        "simulated_false_fail_rate_3_metrics": share(outcomes, Verdict.FAILED),
        "simulated_kept_back_rate_3_metrics": 1 - share(outcomes, Verdict.PASSED),
        "simulated_5_points_worse_passed_3_metrics": share(harmed, Verdict.PASSED),
    }


def judged(specs: list[GateSpec], rng: np.random.Generator, drop: float) -> Verdict:
    ids = [f"c{i}" for i in range(CASES)]
    arms = [(dict(zip(ids, c.astype(float), strict=True)), dict(zip(ids, p.astype(float), strict=True)))
            for c, p in retrains(rng, drop)]  # fmt: skip
    paired = {metric: PairedScores(*arm) for metric, arm in zip(METRICS, arms, strict=True)}
    return overall(judge_all(specs, Evidence(paired=paired))).verdict


def share(found: list[Verdict], verdict: Verdict) -> float:
    return sum(one is verdict for one in found) / len(found)


def simulated_f1() -> dict[str, Figure]:
    rng, labels = np.random.default_rng(12), [f"l{i}" for i in range(F1_LABELS)]
    worse = [f1_p(rng, labels, 0.0) <= 0.05 for _ in range(F1_RUNS)]
    caught = [f1_p(rng, labels, 0.10) <= 0.05 for _ in range(F1_RUNS // 10)]
    return {"f1_false_fail_rate": float(np.mean(worse)), "f1_found_10_points_worse": float(np.mean(caught))}


def f1_p(rng: np.random.Generator, labels: list[str], drop: float) -> float:
    right = rng.choice(len(labels), F1_CASES, p=np.arange(len(labels), 0, -1) / sum(range(len(labels) + 1)))
    counts = [f1_counts(answered(rng, right, labels, accuracy), labels) for accuracy in (0.85 - drop, 0.85)]
    table = CorpusTable(counts[0], counts[1], f1_figure("macro"))
    observed = float(table.figure(counts[0].sum(axis=0)) - table.figure(counts[1].sum(axis=0)))
    swapped = swapped_differences(table, flips=1_000, seed=int(rng.integers(1 << 30)))
    return float(1 + (swapped <= observed + 1e-12).sum()) / (1 + len(swapped))


def answered(
    rng: np.random.Generator, right: NDArray[np.int64], labels: list[str], accuracy: float
) -> list[tuple[str, str]]:
    guess = rng.integers(0, len(labels), len(right))
    given = np.where(rng.random(len(right)) < accuracy, right, guess)
    return [(labels[r], labels[g]) for r, g in zip(right, given, strict=True)]


def print_tables() -> None:
    print("\nPass / inconclusive / fail by true drop, preset refresh (tolerance 3)")
    print("| n, discordant | 0 | 1 pt | 2 pt | 3 pt | 5 pt | 10 pt | strict: equal kept back | 80 % MDE |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n, d in ((200, 0.05), (200, 0.10), (400, 0.05), (400, 0.10), (1000, 0.05), (1000, 0.10)):
        cells = [_cell(rates(gate(preset="refresh"), n, d, drop)) for drop in (0, 0.01, 0.02, 0.03, 0.05, 0.10)]
        kept = 1 - rates(gate(preset="strict"), n, d, 0.0)[Verdict.PASSED]
        mde = smallest_detectable_drop(n, d) or 0.0
        print(f"| {n}, {100 * d:g} % | {' | '.join(cells)} | {kept:.3f} | {100 * mde:.1f} |")
    print("\nOther gates: an equal retrain is kept back")
    blocked = ", ".join(f"flip {100 * f:g} %: {100 * all_pass_block_rate(100, f):.0f} %" for f in (5e-4, 1e-3, 1e-2))
    print(f"all_pass, 100 cases: {blocked}")
    for sd in (0.02, 0.05, 0.10):
        found = latency_rates(0.0, np.log(1.1), sd, 3)
        print(f"latency within 1.10, sd of ln(ratio) {sd}: {_cell(found)}")
    required = odds_of(gate(evidence="required"), AtHand(CASES, DISCORDANT))
    print(f"evidence required, tolerance 0: {required.kept_back:.3f}" if required else "")


def _cell(found: Mapping[Verdict, float]) -> str:
    shown = (found[Verdict.PASSED], found[Verdict.INCONCLUSIVE], found[Verdict.FAILED])
    return "/".join(f"{value:.2f}".removeprefix("0") if value >= 0.005 else "0" for value in shown)


if __name__ == "__main__":
    main()
