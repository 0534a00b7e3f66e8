"""How much each key may ask: buckets that fill by the minute, in this process's memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from threading import Lock
from time import monotonic

from agency.gateway.routes.snapshot import Allowance
from agency.gateway.wire import Refused

MINUTE_S = 60.0
BUCKETS_KEPT = 20_000


@dataclass(slots=True)
class Bucket:
    """Holds what one minute allows, and fills evenly. A level below 0 is a debt that has to flow in first."""

    per_minute: int
    at: float
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = float(self.per_minute)

    def fill(self, now: float) -> None:
        self.level = min(self.per_minute, self.level + (now - self.at) * self.per_minute / MINUTE_S)
        self.at = now

    def wait_s(self, needed: float) -> float:
        return max(0.0, (needed - self.level) * MINUTE_S / self.per_minute)


@dataclass(slots=True)
class Meters:
    """The buckets of one key. Tokens are known only afterwards, so a key is refused while it is in debt."""

    requests: Bucket | None
    tokens: Bucket | None
    lock: Lock = field(default_factory=Lock)

    def admit(self, now: float) -> None:
        """Counts one request. `Refused` 429 says how long to wait."""
        with self.lock:
            for bucket, needed, unit in ((self.tokens, 0.0, "tokens"), (self.requests, 1.0, "requests")):
                if bucket is not None:
                    bucket.fill(now)
                    wait_s = ceil(bucket.wait_s(needed) - 1e-9)
                    if wait_s > 0:
                        raise _refusal(bucket.per_minute, unit, wait_s)
            if self.requests is not None:
                self.requests.level -= 1

    def spend(self, tokens: int) -> None:
        """Called by the meter once an answer's tokens are known."""
        with self.lock:
            if self.tokens is not None:
                self.tokens.level -= tokens


@dataclass(slots=True)
class Allowances:
    """Two gateways each allow a key its whole limit: they do not tell each other."""

    clock: Callable[[], float] = monotonic
    known: dict[str, tuple[Allowance, Meters]] = field(default_factory=dict)

    def admit(self, digest: str, allowance: Allowance | None) -> Meters | None:
        """The key's meters; None where it has no limits. Raises `Refused` 429."""
        if allowance is None:
            return None
        now = self.clock()
        found = self.known.get(digest)
        if found is None or found[0] != allowance:
            found = self._begin(digest, allowance, now)
        found[1].admit(now)
        return found[1]

    def _begin(self, digest: str, allowance: Allowance, now: float) -> tuple[Allowance, Meters]:
        if len(self.known) >= BUCKETS_KEPT:
            self.known.clear()
        requests, tokens = (
            None if limit is None else Bucket(limit, now)
            for limit in (allowance.requests_per_minute, allowance.tokens_per_minute)
        )
        made = self.known[digest] = (allowance, Meters(requests, tokens))
        return made


def _refusal(limit: int, unit: str, wait_s: int) -> Refused:
    message = f"this key may use {limit} {unit} a minute: try again in {wait_s} s"
    return Refused(429, message, [(b"retry-after", str(wait_s).encode())])
