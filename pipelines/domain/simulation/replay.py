"""A past verdict judged again under another threshold, from the numbers it was given with."""

from collections.abc import Mapping
from typing import Any

from pipelines.domain.gates.comparison import Comparison
from pipelines.domain.gates.evidence import Direction, Evidence, FileSizes
from pipelines.domain.gates.latency import Ratio, judge_ratio
from pipelines.domain.gates.size import judge_size
from pipelines.domain.gates.spec import GateKind, GateResult, GateSpec, Rule
from pipelines.domain.gates.task import judge_comparison, judge_value
from pipelines.domain.paired import Z_95, Pairs

Numbers = Mapping[str, Any]


def judged_again(spec: GateSpec, numbers: Numbers, p_adjusted: float | None = None) -> GateResult | None:
    """The verdict that `spec` gives on these numbers; None where they do not tell it, so that the old one stands.

    That is so for must-pass sets, which have no threshold, for what could not be measured, and without production.
    """
    if numbers.get("candidate") is None:
        return None
    match spec.kind:
        case GateKind.TASK:
            return _task(spec, numbers, p_adjusted)
        case GateKind.LATENCY if spec.rule is Rule.WITHIN:
            return _latency(spec, numbers)
        case GateKind.SIZE:
            production = numbers.get("production")
            sizes = FileSizes(int(numbers["candidate"]), None if production is None else int(production))
            return judge_size(spec, Evidence(sizes=sizes))
    return None


def _task(spec: GateSpec, numbers: Numbers, p_adjusted: float | None) -> GateResult | None:
    if spec.rule is Rule.ABSOLUTE:
        return judge_value(spec, float(numbers["candidate"]), int(numbers.get("n") or 0))
    comparison = comparison_of(numbers)
    return judge_comparison(spec, comparison, p_adjusted) if comparison else None


def comparison_of(numbers: Numbers) -> Comparison | None:
    """The comparison that gave `Comparison.numbers()`; None where it was against no production."""
    if numbers.get("production") is None or numbers.get("drop") is None:
        return None
    fell = float(numbers["production"]) - float(numbers["candidate"])
    names = ("candidate", "production", "n", "p_worse", "p_better", "drop_low", "drop_high")
    found: dict[str, Any] = {name: numbers.get(name) for name in names}
    found["direction"] = Direction.LOWER if fell * float(numbers["drop"]) < 0 else Direction.HIGHER
    if numbers.get("plus") is not None:
        pairs = Pairs(int(numbers["n"]), int(numbers["plus"]), int(numbers["minus"]))
        return Comparison(**found, pairs=pairs, variance=pairs.discordance)
    return Comparison(**found, variance=_variance(numbers))


def _variance(numbers: Numbers) -> float:
    """Of one case's difference, out of the interval of the mean."""
    low, high = numbers.get("drop_low"), numbers.get("drop_high")
    return 0.0 if low is None or high is None else float(numbers["n"]) * ((high - low) / (2 * Z_95)) ** 2


def _latency(spec: GateSpec, numbers: Numbers) -> GateResult | None:
    if numbers.get("ratio_low") is None:
        return None
    candidate, production, low, high = (
        float(numbers[name]) for name in ("candidate", "production", "ratio_low", "ratio_high")
    )
    # A round more cannot be asked for afterwards: what there is is the last one.
    rounds = max(int(spec.number("rounds", 3)), int(numbers["rounds"]))
    return judge_ratio(spec, Ratio(candidate, production, low, high, int(numbers["n"]), rounds))
