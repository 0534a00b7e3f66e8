"""The guardrails: which requests count as bad, how much evidence each needs, and when a difference matters."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import exp, log

from pipelines.domain.eprocess import GRID_MODERATE, GRID_RARE, EProcess, Slot


class Arm(StrEnum):
    """Who answered."""

    CANDIDATE = "candidate"
    PRODUCTION = "production"


class Guardrail(StrEnum):
    """What is watched."""

    ERROR = "error"
    SLOW = "slow"
    BAD = "bad"


@dataclass(frozen=True)
class Outcome:
    """One finished request. `is_bad` None: nobody judged the output. `first_after_load`: its time says nothing."""

    at: datetime
    arm: Arm
    key: str
    is_error: bool = False
    latency_ms: float | None = None
    is_bad: bool | None = None
    first_after_load: bool = False


@dataclass(frozen=True)
class GuardrailRule:
    """`weight`: part of alpha; `margin`: what matters; `tolerance`: what SAFE excludes; `words`: its name."""

    grid: tuple[float, ...]
    weight: float
    margin: float
    tolerance: float
    words: str


RULES: Mapping[Guardrail, GuardrailRule] = {
    Guardrail.ERROR: GuardrailRule(GRID_RARE, 0.25, 0.01, 0.05, "errors"),
    Guardrail.SLOW: GuardrailRule(GRID_MODERATE, 0.25, 0.05, 0.10, "slow answers"),
    Guardrail.BAD: GuardrailRule(GRID_MODERATE, 0.50, 0.05, 0.10, "bad output"),
}
_CERTAIN = 700.0  # exp() of more overflows


def is_bad_by(guardrail: Guardrail, outcome: Outcome, slow_limit_ms: float) -> bool | None:
    """Whether the request counts as bad; None: it says nothing about this guardrail."""
    match guardrail:
        case Guardrail.ERROR:
            return outcome.is_error
        case Guardrail.SLOW:
            if outcome.latency_ms is None or outcome.is_error or outcome.first_after_load:
                return None
            return outcome.latency_ms > slow_limit_ms
        case Guardrail.BAD:
            return outcome.is_bad


def first_per_key(outcomes: Iterable[Outcome], seen: Container[str]) -> list[Outcome]:
    """One outcome per key, its first, in order of arrival; `seen`: keys counted before in this step and 24 h.

    Requests of one key are not independent: counting them all gave up to 14 % false rollbacks in 6 h.
    """
    counted: set[str] = set()
    kept = []
    for outcome in sorted(outcomes, key=lambda o: o.at):
        if outcome.key not in counted and outcome.key not in seen:
            counted.add(outcome.key)
            kept.append(outcome)
    return kept


@dataclass(frozen=True)
class Reading:
    """One guardrail as it stands: evidence, point estimate, and the bet that the candidate is safe."""

    guardrail: Guardrail
    log_evidence: float
    log_threshold: float
    counts: Slot
    safe_log_evidence: float
    is_safe: bool
    more_for_safe: int | None

    @property
    def is_evidence(self) -> bool:
        """Whether "no worse than the baseline" is rejected."""
        return self.log_evidence >= self.log_threshold

    @property
    def is_past_margin(self) -> bool:
        """Whether the difference matters: success more than 5 % relative below, or so many points more."""
        return is_past_margin(self.guardrail, self.counts)

    @property
    def sentence(self) -> str:
        """Rates, counts and evidence."""
        c, b = self.counts.rates
        return (
            f"{RULES[self.guardrail].words} {c:.3f} (candidate, {self.counts.x_c} of {self.counts.n_c} keys) against "
            f"{b:.3f} (baseline, {self.counts.x_b} of {self.counts.n_b}), E={evidence_words(self.log_evidence)} "
            f"{'>=' if self.is_evidence else '<'} {exp(self.log_threshold):.0f}"
        )

    def numbers(self) -> dict[str, float | int | str | bool | None]:
        """The exact values, as JSON."""
        c, b = self.counts.rates
        return {
            "guardrail": self.guardrail.value,
            "candidate_rate": c,
            "baseline_rate": b,
            "candidate_n": self.counts.n_c,
            "candidate_bad": self.counts.x_c,
            "baseline_n": self.counts.n_b,
            "baseline_bad": self.counts.x_b,
            "evidence": exp(min(_CERTAIN, self.log_evidence)),
            "threshold": exp(self.log_threshold),
            "margin": RULES[self.guardrail].margin,
            "safe_evidence": exp(min(_CERTAIN, self.safe_log_evidence)),
            "is_safe": self.is_safe,
            "more_for_safe": self.more_for_safe,
        }


@dataclass(frozen=True)
class Noticed:
    """A difference that people are told of, and that decides nothing."""

    guardrail: Guardrail
    sentence: str
    numbers: Mapping[str, float | int | str | bool | None]


def within_margin(stands: Iterable[Reading]) -> tuple[Noticed, ...]:
    """Guardrails with evidence of a difference that is too small to matter."""
    return tuple(
        Noticed(r.guardrail, f"{r.sentence}: a difference, but within the margin", r.numbers())
        for r in stands
        if r.is_evidence and not r.is_past_margin
    )


def is_past_margin(guardrail: Guardrail, counts: Slot) -> bool:
    """Whether the point estimate is past the guardrail's margin."""
    c, b = counts.rates
    margin = RULES[guardrail].margin
    if guardrail is Guardrail.BAD:
        return (1 - c) < (1 - margin) * (1 - b)
    return c - b > margin


def evidence_words(log_evidence: float) -> str:
    """E for a sentence: 1,240 or, beyond a million, 1e9."""
    if log_evidence > log(1e6):
        return f"1e{int(log_evidence / log(10))}"
    value = exp(log_evidence)
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def log_threshold(guardrail: Guardrail, alpha: float) -> float:
    """ln 1/(alpha * weight): Bonferroni over the guardrails, Ville over time."""
    return -log(alpha * RULES[guardrail].weight)


def new_process(guardrail: Guardrail) -> EProcess:
    """An e-process with its first start open."""
    return EProcess(RULES[guardrail].grid).opened()
