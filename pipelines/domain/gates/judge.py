"""Judge gates one by one or together, and say what their verdicts amount to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipelines.domain.gates.comparison import NoProduction, NotMeasured
from pipelines.domain.gates.evidence import Evidence
from pipelines.domain.gates.latency import judge_latency
from pipelines.domain.gates.sets import judge_set
from pipelines.domain.gates.size import judge_size
from pipelines.domain.gates.spec import GateKind, GateResult, GateSpec, Rule
from pipelines.domain.gates.task import compare, judge_task
from pipelines.domain.paired import holm_adjusted
from pipelines.domain.verdicts import Effect, Verdict, worst


def judge(spec: GateSpec, evidence: Evidence, p_adjusted: float | None = None) -> GateResult:
    """The verdict of one gate. `p_adjusted`: see `judge_all`, which corrects over several task metrics."""
    if evidence.stale and spec.is_relative:
        return GateResult(spec, Verdict.ERROR, f"{spec.metric}: not comparable: {evidence.stale}")
    match spec.kind:
        case GateKind.TASK:
            return judge_task(spec, evidence, p_adjusted)
        case GateKind.REGRESSION | GateKind.SAFETY:
            return judge_set(spec, evidence)
        case GateKind.LATENCY:
            return judge_latency(spec, evidence)
        case GateKind.SIZE:
            return judge_size(spec, evidence)


def judge_all(specs: Sequence[GateSpec], evidence: Evidence) -> tuple[GateResult, ...]:
    """Every gate's verdict, in order; `failed` of the blocking task metrics is corrected by Holm, `passed` is not."""
    adjusted = holm_adjusted(_p_values(specs, evidence))
    return tuple(judge(spec, evidence, adjusted.get(spec.metric) if _in_family(spec) else None) for spec in specs)


def _in_family(spec: GateSpec) -> bool:
    return spec.decides and spec.kind is GateKind.TASK and spec.rule is Rule.AT_LEAST_PRODUCTION


def _p_values(specs: Iterable[GateSpec], evidence: Evidence) -> dict[str, float]:
    values: dict[str, float] = {}
    for spec in filter(_in_family, specs):
        p_worse = _p_worse(spec, evidence)
        if p_worse is not None:
            values[spec.metric] = p_worse
    return values


def _p_worse(spec: GateSpec, evidence: Evidence) -> float | None:
    if spec.metric in evidence.paired and not evidence.paired[spec.metric].candidate:
        return None
    try:
        return compare(spec, evidence).p_worse
    except (NotMeasured, NoProduction):
        return None


class Consequence(StrEnum):
    """What follows for the run."""

    PROMOTE = "promote"
    REJECT = "reject"
    HOLD = "hold"


@dataclass(frozen=True)
class Overall:
    """The worst verdict of the gates that decide, why, and what is only shown."""

    verdict: Verdict
    consequence: Consequence
    reasons: tuple[str, ...]
    notices: tuple[str, ...] = ()


def overall(results: Sequence[GateResult], first_version: bool = False) -> Overall:
    """Worst wins over the non-shadow blocking gates; the first version is always held for a person when it passes.

    `inconclusive (no production yet)` does not count for a first version. `inconclusive` rejects, `error` holds.
    """
    counted = [r for r in results if r.decides and not (first_version and r.no_production)]
    notices = tuple(r.sentence for r in results if _is_notice(r))
    if not counted:
        return _nothing_decides(first_version, notices, any(r.waived for r in results))
    verdict = worst(r.verdict for r in counted)
    reasons = tuple(r.sentence for r in counted if r.verdict is verdict)
    match verdict:
        case Verdict.PASSED if first_version:
            return Overall(verdict, Consequence.HOLD, ("first version: a person promotes it", *reasons), notices)
        case Verdict.PASSED:
            return Overall(verdict, Consequence.PROMOTE, reasons, notices)
        case Verdict.INCONCLUSIVE:
            shown = ("not shown to be as good: nothing changes", *reasons)
            return Overall(verdict, Consequence.REJECT, shown, notices)
        case Verdict.FAILED:
            return Overall(verdict, Consequence.REJECT, reasons, notices)
        case Verdict.ERROR:
            return Overall(verdict, Consequence.HOLD, reasons, notices)


def _is_notice(result: GateResult) -> bool:
    if result.waived:
        return True
    shown = result.spec.effect in (Effect.FLAG, Effect.WARN) and not result.spec.shadow
    return shown and result.verdict is not Verdict.PASSED and not result.no_production


def _nothing_decides(first_version: bool, notices: tuple[str, ...], is_waived: bool) -> Overall:
    if first_version or is_waived:
        first = "first version: a person promotes it; no gate could decide without production"
        reasons = ("every gate that could decide is waived: a person decides" if is_waived else first,)
        return Overall(Verdict.INCONCLUSIVE, Consequence.HOLD, reasons, notices)
    return Overall(Verdict.INCONCLUSIVE, Consequence.REJECT, ("no blocking gate decides: nothing changes",), notices)
