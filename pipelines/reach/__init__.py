"""Opening a client's host from its row: the address, the secret that lets us in, the installation's rule."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from pipelines.hosts import Host as Adapter
from pipelines.hosts import HostRefused, open_host
from pipelines.hosts.ollama import OllamaHost
from pipelines.outbound import Access
from pipelines.reach.bridge import bridge_to
from pipelines.reach.relay import Relay
from tenants.crypto.sealing import Unreadable
from tenants.models import Host
from tenants.models.host import AGENT


def access_of(row: Host) -> Access:
    """Raises HostRefused for a secret that cannot be read any more."""
    try:
        return Access.of(row.secret())
    except Unreadable as closed:
        raise HostRefused(str(closed)) from closed


def open_row(row: Host, timeout_s: float) -> Adapter:
    """Raises HostRefused."""
    if row.kind == AGENT:
        return OllamaHost(row.url, None, timeout_s, transport=Relay(row, timeout_s))
    return open_host(row.kind, row.url, access_of(row), timeout_s, settings.ALLOW_PRIVATE_HOSTS)


def for_child(row: Host) -> dict[str, Any]:
    """What a child process needs to open it; its secret goes another way (`secret_for_child`)."""
    if row.kind == AGENT:
        return {"kind": "ollama", "url": bridge_to(row).url, "allow_private": True}
    return {"kind": row.kind, "url": row.url, "allow_private": settings.ALLOW_PRIVATE_HOSTS}


def secret_for_child(row: Host) -> dict[str, str]:
    """For the child's standard input: never written to a disk."""
    if row.kind == AGENT:
        return bridge_to(row).access.fields()
    return access_of(row).fields() if row.sealed else {}
