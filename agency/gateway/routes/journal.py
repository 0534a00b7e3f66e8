"""Orders that were carried out past the database: on disk until they stand in the ledger and the database follows."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import orjson
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from agency.gateway.routes.snapshot import RouteEntry
from pipelines.models import ModelVersion, Route
from pipelines.shipping.rollback import Finding, obstacle, roll_back
from tenants import scope
from tenants.models import AuditEvent, Client

log = logging.getLogger(__name__)

VERB = "gateway.flip"
# Whoever gives an order may say any name; one that the database has no room for would keep all orders from it.
ACTOR_MOST = 200
# Who moves a route without a person: the rollout's own steps, and what takes it back.
MACHINE = ("rollout", "canary analysis", "monitor")


@dataclass(frozen=True, slots=True)
class Noted:
    """One order. `production`, `serial`, `rollout` are what the route said when it was given; `key` tells doubles."""

    key: str
    agency_id: int
    client_id: int
    pipeline: str
    to_version: int
    production: int
    serial: int
    at: str
    by: str = ""
    reason: str = ""
    rollout: int | None = None

    @classmethod
    def of(cls, entry: RouteEntry, to_version: int, by: str = "", reason: str = "") -> Noted:
        owner, at = (entry.agency_id, entry.client_id, entry.slug), datetime.now(UTC).isoformat()
        return cls(uuid4().hex, *owner, to_version, entry.production, entry.serial, at, by, reason, entry.rollout_id)


class Journal:
    """Guarantees: what was noted is recorded once, however often gateway or database go away, by any of its processes.

    A file for each order, so that processes of one gateway share the folder without a lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, noted: Noted) -> None:
        """On the disk before the order is answered. A full disk does not stop an order: the log then has it alone."""
        place = self.folder / f"{noted.at}-{noted.key}.json"  # In order of time by name.
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(os.open(place.with_suffix(".tmp"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(orjson.dumps(asdict(noted)))
                file.flush()
                os.fsync(file.fileno())
            place.with_suffix(".tmp").replace(place)
        except OSError as error:
            log.warning("An order could not be noted in %s: %s. %s", self.folder, error.strerror, noted)

    def pending(self) -> list[Path]:
        """The oldest first."""
        return sorted(self.folder.glob("*.json"))

    def settle(self) -> None:
        """Records what is noted. Raises the database's own error; what was not recorded stays noted."""
        found = {place: _read(place) for place in self.pending()}
        last = {(noted.client_id, noted.pipeline): noted.key for noted in found.values() if noted}
        for place, noted in found.items():
            if noted is not None:
                _record(noted, self.folder.name, last[noted.client_id, noted.pipeline] == noted.key)
            place.unlink(missing_ok=True)


def _read(place: Path) -> Noted | None:
    """None for a file that another process has just settled, or that no gateway wrote."""
    try:
        return Noted(**orjson.loads(place.read_bytes()))
    except (OSError, orjson.JSONDecodeError, TypeError) as error:
        log.warning("The noted order %s is skipped: %s", place, type(error).__name__)
        return None


def _record(noted: Noted, gateway: str, is_last: bool) -> None:
    with scope.client_scope(noted.client_id, noted.agency_id), transaction.atomic():
        route = Route.objects.select_for_update().filter(pipeline__slug=noted.pipeline).first()
        client = Client.objects.select_for_update().filter(pk=noted.client_id).first()
        if client is None or AuditEvent.objects.filter(verb=VERB, detail__order=noted.key).exists():
            return  # Erased meanwhile, or recorded before its file could be removed.
        detail = {"order": noted.key, "from": f"v{noted.production}", "over_serial": noted.serial}
        detail |= {"by": noted.by, "reason": noted.reason} if noted.by or noted.reason else {}
        subject, at = f"{noted.pipeline} to v{noted.to_version}", datetime.fromisoformat(noted.at)
        actor = f"admin socket of gateway {gateway}"[:ACTOR_MOST]
        AuditEvent.append(client, actor, VERB, subject, at, detail)
        if is_last and route is not None and _stands(noted, route):
            _follow(noted, route, noted.by[:ACTOR_MOST] or actor, at)


def _stands(noted: Noted, route: Route) -> bool:
    """Whether nobody moved the route since but the rollout that had it then: its steps and its end are no decisions."""
    if route.serial == noted.serial:
        return True
    if noted.rollout is None or route.rollout_id not in (noted.rollout, None):
        return False
    later = {"pipeline": noted.pipeline, "serial__gt": noted.serial}
    flips = AuditEvent.objects.filter(
        client_id=noted.client_id, verb="route.flip", **{f"detail__{name}": value for name, value in later.items()}
    )
    return not flips.exclude(actor__in=MACHINE).exists()


def _follow(noted: Noted, route: Route, actor: str, at: datetime) -> None:
    """The order that stands becomes a rollback like any other: pages, hosts, the run and mails follow the traffic.

    It was decided when it was given; what follows happens now, after all that the rollout did meanwhile.
    Not where somebody moved the route meanwhile, nor where it went to a version that may not be gone back to.
    """
    target = ModelVersion.objects.filter(pipeline_id=route.pipeline_id, number=noted.to_version).first()
    if target is None or obstacle(route, target):
        return
    reason = noted.reason or _("ordered at a gateway while the database was away")
    roll_back(route, target, Finding("person", "decision", reason, {}), actor, now(), at)
