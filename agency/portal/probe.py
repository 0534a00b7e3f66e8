"""Asking a host whether it answers, and keeping what it said."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime

import httpx2
from django.utils.translation import gettext as _

from pipelines.fleet import look
from pipelines.fleet.look import Seen
from pipelines.hosts import HostError
from tenants.models import Host

TIMEOUT_S = 5.0


def ask(row: Host) -> Seen:
    """Asks a host, of a row or of one to be; each of its answers may take TIMEOUT_S. Writes no row."""
    return look.ask(row, TIMEOUT_S)


def obstacle(url: str, seen: Seen, may_be_silent: bool) -> str:
    """Why a host with this answer is not added: what was tried, what came of it, what to do. Empty: add it."""
    if seen.error is None or (may_be_silent and not seen.error.permanent):
        return ""
    if seen.error.permanent:
        return _("Asked %(url)s/api/version: %(why)s") % {"url": url, "why": seen.why}
    return _(
        "Asked %(url)s/api/version: %(what)s. Check the address, and that Ollama runs there and lets this server in; "
        "or tick “Add it although it does not answer”."
    ) % {"url": url, "what": _coarse(seen.error)}


def keep(host: Host, seen: Seen, now: datetime) -> str:
    """Stores what the host said and answers with a sentence for people."""
    look.keep(host, seen, now)
    if seen.why:
        return _("Host %(name)s does not answer: %(why)s") % {"name": host.name, "why": seen.why}
    return _("Host %(name)s answers.") % {"name": host.name}


def _coarse(error: HostError) -> str:
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return _("its name does not resolve")
    if any(isinstance(cause, httpx2.TimeoutException) for cause in causes):
        return _("no answer within %(seconds)g seconds") % {"seconds": TIMEOUT_S}
    if any(isinstance(cause, httpx2.ConnectError) for cause in causes):
        return _("nobody takes the connection")
    return _("the answer broke off") if causes else _("it is too busy to answer")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What led to the error, the nearest first."""
    cause = error.__cause__ or error.__context__
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
