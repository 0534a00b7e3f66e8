"""What a channel is told: one object, out of which every kind of channel makes its own message."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True)
class Event:
    """All text is one line each, free of control and direction characters; it is hostile all the same: escape it.

    `tone` is good, bad or ask. `incident` names the trouble that it opens, or closes where `is_over`. `at` is UTC.
    """

    message_id: str
    kind: str
    at: datetime
    tone: str
    subject: str
    headline: str
    safe: str
    advice: str
    reasons: tuple[str, ...]
    agency: str
    client: str
    pipeline: str
    what: str
    url: str
    incident: str = ""
    is_over: bool = False

    def kept(self) -> dict[str, Any]:
        """As JSON, for a row."""
        return asdict(self) | {"at": self.at.isoformat(), "reasons": list(self.reasons)}

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        return cls(**kept | {"at": datetime.fromisoformat(kept["at"]), "reasons": tuple(kept["reasons"])})


@dataclass(frozen=True, repr=False)
class Target:
    """Where a message goes and what makes it ours. Never printed."""

    url: str
    key: str = ""
    secrets: tuple[str, ...] = ()
    allow_private: bool = False
    timeout_s: float = 15.0

    def __repr__(self) -> str:
        return "Target(sealed)"
