"""What a client's ledger of acts adds up to: what served at a time, by which settings, hosts, keys and people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Act:
    """One row of the ledger. `at` decides the order: an order at a gateway is written down after it was given."""

    seq: int
    at: datetime
    actor: str
    verb: str
    subject: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Serving:
    """What answers a pipeline's requests: versions with their facts as they were when the traffic moved."""

    production: Mapping[str, Any]
    candidate: Mapping[str, Any] | None
    share: float
    since: datetime
    by: str
    seq: int


@dataclass
class Picture:
    """The state of one client. Names only: keys by name and prefix, people by address with their role."""

    serving: dict[str, Serving] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    waivers: dict[str, str] = field(default_factory=dict)
    freezes: dict[str, str] = field(default_factory=dict)


def picture(acts: Iterable[Act]) -> Picture:
    found = Picture()
    for act in sorted(acts, key=lambda act: (act.at, act.seq)):
        _apply(found, act)
    return found


def _apply(found: Picture, act: Act) -> None:
    detail, name = act.detail, act.subject
    match act.verb:
        case "route.flip":
            served = (detail["production"], detail.get("candidate"), float(detail.get("share", 0.0)))
            found.serving[detail["pipeline"]] = Serving(*served, act.at, act.actor, act.seq)
        case "gateway.flip":
            slug, _to, label = name.partition(" to ")
            found.serving[slug] = Serving({"version": label}, None, 0.0, act.at, act.actor, act.seq)
        case "settings.change":
            slug, _space, number = name.rpartition(" ")
            found.settings[slug] = number
        case "agency.found":
            found.people[act.actor] = "owner"
        case _:
            _apply_around(found, act)


# verb -> (part, the detail that says most). The subject is the name.
ADDS = {
    "key.issue": ("keys", "verbs"),
    "host.add": ("hosts", "url"),
    "member.add": ("people", "role"),
    "gate.waive": ("waivers", "reason"),
    "freeze.set": ("freezes", "reason"),
}
REMOVES = {
    "key.revoke": "keys",
    "host.remove": "hosts",
    "member.remove": "people",
    "gate.unwaive": "waivers",
    "freeze.lift": "freezes",
}


def _apply_around(found: Picture, act: Act) -> None:
    if act.verb in ADDS:
        part, said = ADDS[act.verb]
        getattr(found, part)[act.subject] = _text(act.detail.get(said))
    elif act.verb in REMOVES:
        getattr(found, REMOVES[act.verb]).pop(act.subject, None)


@dataclass(frozen=True)
class Difference:
    """`before` or `after` is empty where the thing was not there."""

    what: str
    name: str
    before: str
    after: str


PARTS = ("settings", "hosts", "keys", "people", "waivers", "freezes")


def differences(before: Picture, after: Picture) -> list[Difference]:
    """First what served, fact by fact; then everything around it."""
    found = [
        Difference(what, f"{slug} {fact}", old, new)
        for slug in sorted(before.serving.keys() | after.serving.keys())
        for what, fact, old, new in _served(before.serving.get(slug), after.serving.get(slug))
    ]
    for part in PARTS:
        old, new = getattr(before, part), getattr(after, part)
        names = sorted(old.keys() | new.keys())
        found += [Difference(part, n, old.get(n, ""), new.get(n, "")) for n in names if old.get(n) != new.get(n)]
    return found


def _served(before: Serving | None, after: Serving | None) -> Iterable[tuple[str, str, str, str]]:
    for arm in ("production", "candidate"):
        old, new = (dict(getattr(side, arm) or {}) if side else {} for side in (before, after))
        for fact in sorted(old.keys() | new.keys()):
            if old.get(fact) != new.get(fact):
                yield arm, fact, _text(old.get(fact)), _text(new.get(fact))


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case dict():
            return ", ".join(f"{key} {item}" for key, item in value.items())
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
