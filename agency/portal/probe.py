"""Asking a host whether it answers, and keeping what it said."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.hosts import HostError, open_host
from tenants.models import Host

TIMEOUT_S = 5.0


def ask(host: Host) -> tuple[dict[str, object], str]:
    """(what it said, why it did not): one of them is empty. Waits at most TIMEOUT_S."""
    try:
        opened = open_host(host.kind, host.url, timeout_s=TIMEOUT_S, allow_private=settings.ALLOW_PRIVATE_HOSTS)
        try:
            return asdict(opened.probe()), ""
        finally:
            opened.close()
    except HostError as error:
        return {}, str(error)


def probe(host: Host, now: datetime) -> str:
    """Stores what the host said and answers with a sentence for people."""
    facts, why = ask(host)
    host.facts = facts or {"error": why}
    host.checked_at = now
    host.save(update_fields=["facts", "checked_at"])
    if why:
        return _("Host %(name)s does not answer: %(why)s") % {"name": host.name, "why": why}
    return _("Host %(name)s answers.") % {"name": host.name}
