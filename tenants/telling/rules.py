"""Rules of who is told of what: for a kind of notice, in the place of what is usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, EmailStr

NOTICE_KINDS = ("held", "promoted", "rejected", "stopped", "failed", "rolled_back", "noticed", "drill_failed", "drift")
NoticeKind = Literal[
    "held", "promoted", "rejected", "stopped", "failed", "rolled_back", "noticed", "drill_failed", "drift"
]
# Whose rule a notice follows that has none of its own: who was told that a run waits is reminded of it.
FOLLOWS = {"reminder": "held", "decided": "held", "rollback_stuck": "rolled_back"}


class NoticeRule(BaseModel):
    """Who is told of one kind of notice, and by which channels; None is as usual.

    `mail` stands in the place of the recipients, `channels` (by name) in the place of those that take the kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mail: tuple[EmailStr, ...] | Literal["nobody"] | None = None
    channels: tuple[str, ...] | Literal["none"] | None = None


Rules = Mapping[NoticeKind, NoticeRule]


def mailed(rules: Rules, kind: str, usual: Sequence[str]) -> list[str]:
    """Who gets the mail of this kind."""
    rule = _rule(rules, kind)
    if rule is None or rule.mail is None:
        return list(usual)
    return [] if rule.mail == "nobody" else list(rule.mail)


def channels_of(rules: Rules, kind: str) -> tuple[str, ...] | None:
    """Names of the channels that are told of this kind; None leaves it to each channel."""
    rule = _rule(rules, kind)
    if rule is None or rule.channels is None:
        return None
    return () if rule.channels == "none" else rule.channels


def _rule(rules: Rules, kind: str) -> NoticeRule | None:
    return {str(name): rule for name, rule in rules.items()}.get(FOLLOWS.get(kind, kind))
