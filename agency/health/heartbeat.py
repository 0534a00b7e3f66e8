"""A sign of life called outward: an installation that is gone cannot mail that it is gone.

The address is a monitor's that alarms when the calls stop (a dead man's switch). It is called while all is well only.
"""

from __future__ import annotations

import logging
from datetime import timedelta

import httpx2
from django.conf import settings

from agency.health.beside import Beside
from agency.health.looks import READY, look
from pipelines.outbound import OutboundRefused
from pipelines.outbound.client import open_client

log = logging.getLogger("heartbeat")
EVERY = timedelta(minutes=1)
TIMEOUT_S = 10.0


def heartbeat() -> Beside:
    """Beats beside the ticks: a monitor that hangs delays no wake-up."""
    return Beside("heartbeat", EVERY, _told)


def beat() -> str:
    """Calls the monitor if the database answers and nothing is late. Gives why it did not, or empty."""
    sick = [finding for finding in look(READY, alone=False) if not finding.is_well]
    if sick:
        return "; ".join(f"{finding.name}: {finding.says}" for finding in sick)
    try:
        with open_client(allow_private=settings.ALLOW_PRIVATE_HOSTS, timeout_s=TIMEOUT_S) as http:
            http.get(settings.HEARTBEAT_URL).raise_for_status()
    except (OutboundRefused, httpx2.HTTPError, httpx2.InvalidURL) as fault:
        # The address may hold a secret: its name of the fault is enough.
        return f"the monitor did not take it ({type(fault).__name__})"
    return ""


def _told() -> None:
    if settings.HEARTBEAT_URL and (why := beat()):
        log.warning("no heartbeat: %s", why)
