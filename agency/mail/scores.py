"""Gates and metrics of a run, as lines of a mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from agency.mail.words import one_line, points
from pipelines.domain.verdicts import Verdict, worst
from pipelines.models import GateResult, Notice, Run, Scorecard

SHOWN_CHANGE = 0.0005  # 0.05 points: what rounds to +0.0 is neither good nor bad.


@dataclass(frozen=True)
class Delta:
    """One metric in production and in the candidate; `tone` is good, bad or even."""

    name: str
    before: str
    after: str
    change: str
    tone: str


@dataclass(frozen=True)
class GateLine:
    icon: str
    word: str
    tone: str
    sentence: str


def deciding(notice: Notice, run: Run, gates: Sequence[GateResult]) -> list[GateResult]:
    """The gates that are why this notice was written: they rejected the candidate, or hold it in compare.

    Where one could not measure and none failed the run was held: what rejected it after that is a person.
    """
    is_first = not Scorecard.objects.filter(run=run, production__isnull=False).exists()
    against = [gate for gate in gates if _is_against(gate, is_first)]
    match notice.kind:
        case "rejected" if worst(Verdict(gate.verdict) for gate in against) != Verdict.ERROR:
            return against
        case "held" | "reminder" | "escalated" if notice.detail.get("stage") == "compare":
            return against
    return []


def _is_against(gate: GateResult, is_first: bool) -> bool:
    """Whether this gate kept the candidate back; a first version has nothing that it could be held against."""
    is_silent = gate.is_shadow or gate.is_waived or (is_first and gate.lacks_production)
    return gate.effect == "block" and gate.verdict != Verdict.PASSED and not is_silent


def sentence(gate: GateResult) -> str:
    """The gate's own sentence, after its name where the sentence does not begin with it."""
    said = one_line(gate.sentence, 400)
    return said if said.lower().startswith(gate.name.lower()) else f"{one_line(gate.name, 60)}: {said}"


def line(gate: GateResult) -> GateLine:
    icon, word, tone = _look(gate.verdict)
    if gate.is_shadow:
        word = _("%(word)s (shadow)") % {"word": word}
    elif gate.effect != "block" and gate.verdict != Verdict.PASSED:
        word = _("%(word)s (%(effect)s)") % {"word": word, "effect": gate.effect}
    return GateLine(icon, word, tone, sentence(gate))


def deltas(run: Run) -> tuple[Delta, ...]:
    """Task metrics of the run's scorecard, the criteria's first metric first. All of them are shares of 1."""
    score = Scorecard.objects.filter(run=run).first()
    if score is None:
        return ()
    chosen = run.revision.settings.criteria.metrics
    return tuple(_delta(name, score.metrics[name]) for name in chosen if _is_measured(score.metrics.get(name)))


def _look(verdict: str) -> tuple[str, str, str]:
    match verdict:
        case Verdict.PASSED:
            return "✓", _("passed"), "good"
        case Verdict.FAILED:
            return "✗", _("failed"), "bad"
        case Verdict.INCONCLUSIVE:
            return "~", _("inconclusive"), "ask"
        case _:
            return "!", _("could not measure"), "ask"


def _is_measured(values: Any) -> bool:
    return isinstance(values, dict) and isinstance(values.get("candidate"), int | float)


def _delta(name: str, values: dict[str, Any]) -> Delta:
    after, before = float(values["candidate"]), values.get("production")
    if not isinstance(before, int | float):
        return Delta(name, "-", f"{after:.3f}", "", "even")
    change = after - float(before)
    tone = "even" if abs(change) < SHOWN_CHANGE else "good" if change > 0 else "bad"
    return Delta(name, f"{before:.3f}", f"{after:.3f}", points(change), tone)
