"""What clients and pipelines may be called, in which zone and which language: for forms, commands and archives."""

from __future__ import annotations

import re
from collections.abc import Set
from zoneinfo import available_timezones

from django.conf import settings
from django.utils.translation import gettext as _

SHORT_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SHORT_NAME_MOST = 60
# "agency" stands for the whole agency where a client can be named.
CLIENT_RESERVED = frozenset({"agency"})
# Pages below a client: a pipeline called so would have none of its own.
PIPELINE_RESERVED = frozenset({
    "add-agent-host", "add-host", "add-member", "audit", "caps", "four-eyes", "hosts", "issue-key", "judges", "kept",
    "keys", "leaving", "ledger", "new-pipeline", "remove-demo", "sharing", "timeline", "training-services", "usage",
    "view-as",
})  # fmt: skip


class BadName(ValueError):
    """Nothing can be called so here; says what can."""

    permanent = True


def short_name(given: str, reserved: Set[str] = frozenset()) -> str:
    """The name, which fits into addresses and into names of models on hosts. Raises BadName."""
    if len(given) > SHORT_NAME_MOST or not SHORT_NAME.fullmatch(given):
        words = {"name": given[:SHORT_NAME_MOST], "most": SHORT_NAME_MOST}
        raise BadName(
            _(
                "“%(name)s” is no short name: small letters and digits, with single hyphens between them, "
                "at most %(most)s."
            )
            % words
        )
    if given in reserved:
        raise BadName(
            _("“%(name)s” is a word of the product itself: choose another short name, such as %(name)s-2.")
            % {"name": given}
        )
    return given


def time_zone(given: str) -> str:
    """Raises BadName for one that the zone database does not have."""
    if given not in available_timezones():
        raise BadName(_("There is no time zone “%(name)s”. Write for example Europe/Madrid.") % {"name": given[:60]})
    return given


def language(given: str) -> str:
    """Raises BadName for one that pages and mails are not written in."""
    known = dict(settings.LANGUAGES)
    if given not in known:
        words = {"name": given[:60], "known": ", ".join(known)}
        raise BadName(_("There is no language “%(name)s” here. There is: %(known)s.") % words)
    return given
