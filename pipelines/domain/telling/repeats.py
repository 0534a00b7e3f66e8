"""Whether somebody was told the same a short while ago: repeats are muted, and what ends them is told once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# Troubles that come back by themselves, with each schedule; a verdict on a version is news each time.
MUTED = frozenset({"failed", "stopped", "drill_failed"})
TOLD_AGAIN_AFTER = timedelta(days=7)


@dataclass(frozen=True)
class Told:
    """A notice of one kind about one pipeline, told or muted."""

    stage: str
    at: datetime
    is_muted: bool


def is_repeat(stage: str, earlier: tuple[Told, ...], now: datetime) -> bool:
    """`earlier`: of the same kind since the last recovery, the newest first.

    The same stage as the last one, and a person was told of it within a week.
    """
    if not earlier or earlier[0].stage != stage:
        return False
    last = next((one for one in earlier if not one.is_muted), None)
    return last is not None and now - last.at < TOLD_AGAIN_AFTER
