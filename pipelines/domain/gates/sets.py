"""Gates on must-pass sets: regression and safety, case by case, no threshold."""

from pipelines.domain.gates.evidence import Evidence
from pipelines.domain.gates.spec import GateResult, GateSpec, Number
from pipelines.domain.verdicts import Verdict

_SHOWN = 5


def judge_set(spec: GateSpec, evidence: Evidence) -> GateResult:
    """All cases pass: `passed`. One fails: `failed`. Else a flaky one: `error`. No cases: `inconclusive`."""
    outcome = evidence.sets.get(spec.metric)
    if outcome is None:
        return GateResult(spec, Verdict.ERROR, f"{spec.metric} could not be measured: no outcome was reported")
    total = len(outcome.passed.keys() | set(outcome.flaky))
    if not total:
        return GateResult(spec, Verdict.INCONCLUSIVE, f"{spec.metric}: the set has no cases", {"n": 0})
    failed = tuple(sorted(case for case, ok in outcome.passed.items() if not ok and case not in outcome.flaky))
    flaky = tuple(sorted(outcome.flaky))
    numbers: dict[str, Number] = {"n": total, "failed": len(failed), "flaky": len(flaky)}
    passed = f"{spec.metric} {total - len(failed) - len(flaky)} of {total} cases"
    if failed:
        return GateResult(spec, Verdict.FAILED, f"{passed}, failed: {_listed(failed)}", numbers, failed)
    if flaky:
        sentence = f"{passed}, differs between two greedy runs: {_listed(flaky)}"
        return GateResult(spec, Verdict.ERROR, sentence, numbers, flaky)
    return GateResult(spec, Verdict.PASSED, passed, numbers)


def _listed(cases: tuple[str, ...]) -> str:
    rest = len(cases) - _SHOWN
    return ", ".join(cases[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
