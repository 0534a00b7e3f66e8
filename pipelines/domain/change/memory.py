"""Where two versions fit: together on a host, each on one of its own, one at a time, or nowhere. Bytes in, a rung out.

A host's own figures come first (what it says a loaded model takes); a guess from the file is told as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# Weights, context and buffers against the file, where no host ever told: on the careful side.
GUESSED_RATIO = 1.2


class Rung(StrEnum):
    CO_RESIDENT = "co_resident"
    SECOND_HOST = "second_host"
    ONE_AT_A_TIME = "one_at_a_time"
    NOWHERE = "nowhere"


@dataclass(frozen=True)
class Need:
    """What one version takes in memory; `basis` says how that is known: measured, sibling or guessed."""

    size_bytes: int
    basis: str


def need(file_bytes: int, measured: int | None, sibling: tuple[int, int] | None) -> Need:
    """`measured`: of this version on that host. `sibling`: (file, memory) of another version of the pipeline there."""
    if measured:
        return Need(measured, "measured")
    if sibling and sibling[0] > 0:
        return Need(round(file_bytes * max(1.0, sibling[1] / sibling[0])), "sibling")
    return Need(round(file_bytes * GUESSED_RATIO), "guessed")


@dataclass(frozen=True)
class Room:
    """One host. `memory_bytes` None: nobody said what it has, so nothing is refused there. `others_bytes`: what models

    of neither version take now. `holds_production`: it serves the version that goes on beside the candidate.
    `takes_turns`: both are LoRAs over one file, for which a host runs one process: never loaded together there.
    """

    host: str
    memory_bytes: int | None
    others_bytes: int
    candidate: Need
    production: Need | None
    holds_production: bool
    takes_turns: bool = False

    @property
    def has_to_choose(self) -> bool:
        return self.holds_production and self.takes_turns

    @property
    def left_bytes(self) -> int | None:
        return None if self.memory_bytes is None else self.memory_bytes - self.others_bytes

    def fits(self, *needs: Need | None) -> bool:
        left = self.left_bytes
        return left is None or sum(one.size_bytes for one in needs if one) <= left


@dataclass(frozen=True)
class Fit:
    """`hosts`: where the candidate goes. `is_known` False: no host says how much memory it has."""

    rung: Rung
    hosts: tuple[str, ...]
    is_known: bool


def fit(rooms: Sequence[Room]) -> Fit:
    """The first rung that holds. The candidate goes to every host where nothing has to leave for it."""
    is_known = any(room.memory_bytes is not None for room in rooms)
    beside = [
        r for r in rooms if not r.has_to_choose and r.fits(r.candidate, r.production if r.holds_production else None)
    ]
    together = [room for room in beside if room.holds_production or room.production is None]
    if together:
        return Fit(Rung.CO_RESIDENT, tuple(room.host for room in beside), is_known)
    if beside:
        return Fit(Rung.SECOND_HOST, tuple(room.host for room in beside), is_known)
    alone = [room for room in rooms if room.fits(room.candidate)]
    if alone:
        return Fit(Rung.ONE_AT_A_TIME, tuple(room.host for room in alone), is_known)
    return Fit(Rung.NOWHERE, (), is_known)
