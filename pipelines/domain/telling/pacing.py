"""When a message that was not taken is tried again, and when a channel is given up."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

# The schedule that the Standard Webhooks specification proposes; the first try is at once.
PAUSES = tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
MAX_TRIES = len(PAUSES) + 1
JITTER = 0.2
# An answer that asks for more is heard up to here: a server cannot put off a message for ever.
LONGEST_WISH = timedelta(hours=6)
GIVEN_UP_AFTER = timedelta(days=5)


def next_try(tries: int, now: datetime, seed: str, wish_s: float = 0) -> datetime | None:
    """After `tries` refusals; None when that was the last. Up to 20 % later than planned, by the seed.

    A channel that comes back is then not met by all that waited in one second. `wish_s` is a server's Retry-After.
    """
    if tries >= MAX_TRIES:
        return None
    pause = PAUSES[tries - 1] * (1 + JITTER * Random(f"{seed}:{tries}").random())
    return now + max(pause, min(timedelta(seconds=wish_s), LONGEST_WISH))


def is_given_up(failing_since: datetime | None, now: datetime) -> bool:
    """A channel that has taken nothing for days is switched off, and a person told."""
    return failing_since is not None and now - failing_since >= GIVEN_UP_AFTER
