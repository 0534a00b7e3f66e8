"""Which trouble a notice is about, so that an alarm is opened once and closed by what ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Incident:
    """`name` is unique in its pipeline; empty: nothing that stays open. `is_over`: this notice ends it."""

    name: str = ""
    is_over: bool = False


OPENED = {
    "failed": "work",
    "stopped": "data",
    "held": "decision",
    "rolled_back": "version",
    "noticed": "version",
    "drill_failed": "way-back",
    "rollback_stuck": "rollback",
    "drift": "host",
    "mail_down": "mail",
    "reminder": "decision",
    "escalated": "decision",
}
CLOSED = {"promoted": "version", "mail_up": "mail", "decided": "decision"}


def incident_of(kind: str, detail: Mapping[str, Any]) -> Incident:
    """`detail` is the notice's: a host's troubles are told apart by the host; `of` is what a recovery ends."""
    if kind in CLOSED:
        return Incident(CLOSED[kind], True)
    name = OPENED.get(detail["of"] if kind == "recovered" else kind, "")
    return Incident(f"host:{detail['host']}" if name == "host" and "host" in detail else name, kind == "recovered")
