"""Which versions' weights may go: none that serves, can serve at once, is on its way, or is needed by a live run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Policy:
    """`versions`: of those that were in production, the last so many stay for ever. `days`: nothing younger goes."""

    versions: int = 5
    days: int = 90


@dataclass(frozen=True)
class Kept:
    """One version of a pipeline. `is_in_use`: it serves, stands on a host, is what traffic goes back to, or a live run

    needs it. `digests`: its weights and adapter; a prompt version shares them with its parent.
    """

    number: int
    digests: frozenset[str]
    is_in_use: bool
    created_at: datetime
    promoted_at: datetime | None


def collectable(versions: Sequence[Kept], policy: Policy, now: datetime) -> frozenset[str]:
    """Digests of one pipeline that nothing in it needs any more. One that one kept version has is kept for all."""
    return frozenset(digest for v in versions for digest in v.digests) - retained(versions, policy, now) - {""}


def retained(versions: Sequence[Kept], policy: Policy, now: datetime) -> frozenset[str]:
    """Digests of one pipeline's versions that are kept. Another pipeline's may be the same: the base's file is."""
    promoted = sorted((v for v in versions if v.promoted_at), key=lambda v: (v.promoted_at, v.number), reverse=True)
    kept = {v.number for v in promoted[: max(1, policy.versions)]}
    kept |= {v.number for v in versions if v.is_in_use or now - v.created_at < timedelta(days=policy.days)}
    return frozenset(digest for v in versions if v.number in kept for digest in v.digests)
