"""The four verdicts, the three effects of a gate, and which verdict wins."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What a judgement says. Only `passed` ever promotes."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


class Effect(StrEnum):
    """What a gate's verdict does: `block` decides, `flag` and `warn` are shown and mailed only."""

    BLOCK = "block"
    FLAG = "flag"
    WARN = "warn"


# `failed` beats `error`: what is shown to be worse stays worse, whatever else could not be measured.
_SEVERITY = {Verdict.PASSED: 0, Verdict.INCONCLUSIVE: 1, Verdict.ERROR: 2, Verdict.FAILED: 3}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that wins: failed > error > inconclusive > passed. Nothing at all is `inconclusive`: no data."""
    return max(verdicts, key=_SEVERITY.__getitem__, default=Verdict.INCONCLUSIVE)
