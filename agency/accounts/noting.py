"""What changes about how somebody signs in stands in the ledger of every place that the person belongs to; the person
is told by mail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from django.utils import timezone

from tenants.models import User
from tenants.people.accounts import note

VERBS = {
    account.password_set: "account.password",
    account.password_changed: "account.password",
    account.password_reset: "account.password",
    account.email_changed: "account.email",
    account.email_added: "account.email",
    account.email_removed: "account.email",
    mfa.authenticator_added: "account.factor-add",
    mfa.authenticator_removed: "account.factor-remove",
    mfa.authenticator_reset: "account.factor-renew",
}


def listen() -> None:
    for signal in VERBS:
        signal.connect(_heard)


def _heard(signal: Any, user: User, authenticator: Any = None, **more: Any) -> None:
    detail = {"kind": str(authenticator.type)} if authenticator is not None else {}
    now, former = timezone.now(), more.get("from_email_address")
    note(user, VERBS[signal], now, detail)
    _tell(user, VERBS[signal], detail.get("kind", ""), now, former.email if former else "")


def _tell(*what: Any) -> None:
    from agency.accounts.telling import tell  # With its first call: mails bring a style sheet reader and numpy along.

    tell(*what)


class SessionsAdapter(DefaultUserSessionsAdapter):
    """Sessions that somebody ends from the list are noted."""

    def end_sessions(self, sessions: Iterable[Any]) -> None:
        rows = list(sessions)
        super().end_sessions(rows)
        if rows:
            note(rows[0].user, "account.sessions-end", now := timezone.now(), {"sessions": len(rows)})
            _tell(rows[0].user, "account.sessions-end", "", now)
