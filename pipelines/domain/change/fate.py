"""Why a version's weights are kept, and until when: the retention of `keeping` told version by version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pipelines.domain.change.keeping import Kept, Policy, collectable


class Why(StrEnum):
    """`shared`: by itself it might go, but a version that stays has the same files."""

    IN_USE = "in_use"
    RECENT_PRODUCTION = "recent_production"
    YOUNG = "young"
    SHARED = "shared"
    GOES = "goes"


@dataclass(frozen=True)
class Fate:
    """`until`: when it may go, as things stand; None where only something else changing could let it go."""

    why: Why
    until: datetime | None = None


def fates(
    versions: Sequence[Kept], policy: Policy, now: datetime, elsewhere: frozenset[str] = frozenset()
) -> dict[int, Fate]:
    """By number. What `GOES` is exactly what `collectable` would give up.

    `elsewhere`: what other pipelines of the client keep.
    """
    promoted = sorted((v for v in versions if v.promoted_at), key=lambda v: (v.promoted_at, v.number), reverse=True)
    recent = {v.number for v in promoted[: max(1, policy.versions)]}
    free = collectable(versions, policy, now) - elsewhere
    return {v.number: _fate(v, v.number in recent, free, policy, now) for v in versions}


def _fate(version: Kept, is_recent: bool, free: frozenset[str], policy: Policy, now: datetime) -> Fate:
    young_until = version.created_at + timedelta(days=policy.days)
    if version.is_in_use:
        return Fate(Why.IN_USE)
    if is_recent:
        return Fate(Why.RECENT_PRODUCTION)
    if now < young_until:
        return Fate(Why.YOUNG, young_until)
    return Fate(Why.GOES, now) if version.digests & free else Fate(Why.SHARED)
