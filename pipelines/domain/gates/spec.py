"""A gate as the client configured it, its result, and the check that the configuration can work."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import isfinite

from pipelines.domain.verdicts import Effect, Verdict

# Which formulas spoke; docs/reference/gates.md says what changed. A verdict keeps the version that gave it.
JUDGE_VERSION = 2

Param = float | int | str | bool
Number = float | int | str | bool | None


class GateKind(StrEnum):
    """Which evidence a gate reads."""

    TASK = "task"
    REGRESSION = "regression"
    SAFETY = "safety"
    LATENCY = "latency"
    SIZE = "size"


class Rule(StrEnum):
    """What a gate asks. Better and worse follow the metric's direction."""

    AT_LEAST_PRODUCTION = "at_least_production"
    MAX_DROP = "max_drop"
    MIN_IMPROVEMENT = "min_improvement"
    ABSOLUTE = "absolute"
    ALL_PASS = "all_pass"
    WITHIN = "within"


class Preset(StrEnum):
    """`strict`: candidate >= production on the cases. `refresh`: tolerates what cannot be told from equal."""

    STRICT = "strict"
    REFRESH = "refresh"


class Proof(StrEnum):
    """How much evidence `passed` needs: the preset's own, a drop excluded at 95 %, or better beyond chance."""

    PRESET = "preset"
    REQUIRED = "required"
    SUPERIOR = "superior"


@dataclass(frozen=True)
class GateSpec:
    """One gate. Shares are fractions (0.03 = 3 points); `params` by rule:

    at_least_production: preset, tolerance, evidence, alpha, min_cases · max_drop, min_improvement: abs or rel
    (min_improvement: or_no_regression) · absolute: min or max · within: rel, both_sides;
    latency: floor_ms, rounds, level.
    """

    kind: GateKind
    metric: str
    rule: Rule
    effect: Effect = Effect.BLOCK
    params: Mapping[str, Param] = field(default_factory=dict)
    shadow: bool = False

    def number(self, name: str, default: float) -> float:
        """A numeric parameter or its default."""
        return float(self.params.get(name, default))

    @property
    def alpha(self) -> float:
        """Error rate of `failed`; halved by whoever extends an inconclusive set once."""
        return self.number("alpha", 0.05)

    @property
    def decides(self) -> bool:
        """Whether its verdict can keep a candidate back."""
        return self.effect is Effect.BLOCK and not self.shadow

    @property
    def is_relative(self) -> bool:
        """Whether it needs a production model to compare with."""
        return self.rule not in (Rule.ABSOLUTE, Rule.ALL_PASS)


@dataclass(frozen=True)
class GateResult:
    """A verdict with its sentence and numbers (JSON values only)."""

    spec: GateSpec
    verdict: Verdict
    sentence: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    cases: tuple[str, ...] = ()  # the cases to look at first: lost ones, flaky ones
    needs_another_round: bool = False
    no_production: bool = False
    waived: str = ""  # by whom, until when and why
    judge_version: int = JUDGE_VERSION

    @property
    def decides(self) -> bool:
        """Whether this verdict can keep the candidate back."""
        return self.spec.decides and not self.waived

    def waived_by(self, words: str) -> "GateResult":
        """The same verdict under a waiver: it says so and no longer decides. What passed needs no leave."""
        if self.verdict is Verdict.PASSED or not self.spec.decides:
            return self
        return replace(self, waived=words, sentence=f"{self.sentence}; {words}")

    def numbered(self, **numbers: Number) -> "GateResult":
        """The same result with further numbers."""
        return replace(self, numbers={**self.numbers, **numbers})


class UnworkableGate(ValueError):
    """A gate that could never be judged; the message says what to change."""

    permanent = True


_RULES_OF = {
    GateKind.TASK: frozenset(Rule) - {Rule.ALL_PASS, Rule.WITHIN},
    GateKind.REGRESSION: frozenset({Rule.ALL_PASS}),
    GateKind.SAFETY: frozenset({Rule.ALL_PASS}),
    GateKind.LATENCY: frozenset({Rule.WITHIN, Rule.ABSOLUTE}),
    GateKind.SIZE: frozenset({Rule.WITHIN, Rule.ABSOLUTE}),
}
_ONE_OF = {
    Rule.MAX_DROP: ("abs", "rel"),
    Rule.MIN_IMPROVEMENT: ("abs", "rel"),
    Rule.ABSOLUTE: ("min", "max"),
    Rule.WITHIN: ("rel",),
}
_AT_LEAST = {"tolerance": (0.0, 1.0), "alpha": (0.0001, 0.5), "abs": (0.0, 1e12), "rel": (0.0, 10.0)}
_LATENCY = {"calls": (100.0, 100_000.0), "floor_ms": (0.0, 1e6), "rounds": (1.0, 10.0), "level": (0.5, 0.9999)}
_RANGES = {**_AT_LEAST, **_LATENCY}


def _check_ranges(spec: GateSpec) -> None:
    for name, (low, high) in _RANGES.items():
        if name in spec.params and not (isfinite(spec.number(name, 0.0)) and low <= spec.number(name, 0.0) <= high):
            raise UnworkableGate(f"{name} of the gate on {spec.metric} must lie between {low:g} and {high:g}")


def check_spec(spec: GateSpec) -> None:
    """Raise `UnworkableGate` when the gate cannot work: a rule for another kind, a bound missing or out of range."""
    if spec.rule not in _RULES_OF[spec.kind]:
        raise UnworkableGate(f"a gate on {spec.kind} cannot use the rule {spec.rule}")
    names = _ONE_OF.get(spec.rule, ())
    if names and sum(name in spec.params for name in names) != 1:
        raise UnworkableGate(f"{spec.rule} on {spec.metric} needs exactly one of: {', '.join(names)}")
    if spec.params.get("preset", "strict") not in list(Preset):
        raise UnworkableGate(f"preset of the gate on {spec.metric} must be one of: {', '.join(Preset)}")
    if spec.params.get("evidence", "preset") not in list(Proof):
        raise UnworkableGate(f"evidence of the gate on {spec.metric} must be one of: {', '.join(Proof)}")
    _check_ranges(spec)
