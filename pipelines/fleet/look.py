"""One look at a host: does it answer, what does it hold, is it as it was left. Kept as a sample, now and then."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from pipelines.fleet.drift import Picture, placements_on
from pipelines.fleet.watch import watch
from pipelines.hosts import Host as Adapter
from pipelines.hosts import HostError, HostFacts, Loaded, Tag
from pipelines.reach import open_row
from tenants import crossing, scope
from tenants.models import Host, HostSample

TIMEOUT_S = 3.0
# A sample at each change, and this often without one: enough for a chart, little enough to keep for weeks.
SAMPLE_EVERY = timedelta(minutes=5)
DOWN_FOR_LONG, LOOK_AT_LONG_DOWN = timedelta(minutes=10), timedelta(minutes=5)
SHOWN_MODELS = 200


@dataclass(frozen=True)
class Seen:
    """What a host said, or why it did not."""

    facts: HostFacts | None = None
    tags: tuple[Tag, ...] = ()
    loaded: tuple[Loaded, ...] = ()
    templates: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    error: HostError | None = field(default=None, compare=False)

    @property
    def is_up(self) -> bool:
        return self.facts is not None

    def document(self) -> dict[str, Any]:
        """As `Host.facts` keeps it."""
        if self.facts is None:
            return {"error": self.why}
        models = [asdict(tag) for tag in self.tags[:SHOWN_MODELS]]
        return asdict(self.facts) | {"models": models, "loaded": [asdict(one) for one in self.loaded]} | self.sums()

    def sums(self) -> dict[str, int]:
        return {
            "used_bytes": sum(tag.size_bytes for tag in {tag.digest: tag for tag in self.tags}.values()),
            "loaded_bytes": sum(one.size_bytes for one in self.loaded),
        }


def ask(row: Host, timeout_s: float = TIMEOUT_S, names: Sequence[str] = ()) -> Seen:
    """Asks the host, and for the template of each of `names`; writes nothing."""
    try:
        with closing(open_row(row, timeout_s)) as adapter:
            return Seen(adapter.probe(), adapter.tags(), adapter.loaded(), _templates(adapter, names))
    except HostError as error:
        return Seen(why=str(error), error=error)


def _templates(adapter: Adapter, names: Sequence[str]) -> dict[str, str]:
    """SHA-256 by name: the one that the host will really use, which its own switches can change."""
    shown = {name: adapter.show(name) for name in names}
    return {name: hashlib.sha256(one.template.encode()).hexdigest() for name, one in shown.items() if one}


def look_at(host_id: int, now: datetime) -> None:
    """The ticker's look: claimed by moving `due_at`, so that two of them ask once."""
    row = Host.objects.filter(pk=host_id, is_enabled=True, due_at__lte=now).first()
    if row is None or not _claim(row, now):
        return
    # A question for each name: not at every look.
    names = [placement.model_name for placement in placements_on(row)] if is_sample_due(row, now) else []
    seen, right_at = ask(row, names=names), None if row.facts.get("error") else row.checked_at
    keep(row, seen, now)
    if seen.facts is not None:
        digests = {tag.name: tag.digest for tag in seen.tags}
        watch(row, Picture(digests, seen.facts.generation, seen.templates), right_at, now)


def _claim(row: Host, now: datetime) -> bool:
    mine = Host.objects.filter(pk=row.pk, client_id=row.client_id, due_at=row.due_at)
    return bool(mine.update(due_at=now + timedelta(seconds=settings.HOST_LOOK_S)))


@transaction.atomic
def keep(row: Host, seen: Seen, now: datetime) -> None:
    """The facts of the row, a sample where there is news, and when to look again."""
    last = HostSample.objects.filter(host=row).first()
    if last is None or last.is_up != seen.is_up or is_sample_due(row, now):
        sample_of(row, seen, now).save()
    row.facts, row.checked_at, row.due_at = seen.document(), now, _next(row, seen, now)
    row.save(update_fields=["facts", "checked_at", "due_at"])


def is_sample_due(row: Host, now: datetime) -> bool:
    last = HostSample.objects.filter(host=row).first()
    return last is None or now - last.at >= SAMPLE_EVERY


def sample_of(row: Host, seen: Seen, now: datetime) -> HostSample:
    made = HostSample.of(row, host=row, at=now, is_up=seen.is_up, reason=seen.why[:500])
    if seen.facts is not None:
        made.latency_ms, made.version = seen.facts.latency_ms, seen.facts.version[:40]
        made.names, made.loaded = len(seen.tags), len(seen.loaded)
        made.used_bytes, made.loaded_bytes = seen.sums()["used_bytes"], seen.sums()["loaded_bytes"]
    return made


def _next(row: Host, seen: Seen, now: datetime) -> datetime | None:
    """One that has been down for long is asked less often: each look at it costs a worker its time-out."""
    if not row.is_enabled:
        return None
    pause = timedelta(seconds=settings.HOST_LOOK_S)
    if not seen.is_up:
        pause = max(pause, LOOK_AT_LONG_DOWN) if now - _down_since(row, now) > DOWN_FOR_LONG else pause
    return now + pause


def _down_since(row: Host, now: datetime) -> datetime:
    """The first look in vain since it last answered; of a host that is down."""
    samples = HostSample.objects.filter(host=row)
    up = samples.filter(is_up=True).first()
    down = samples.filter(is_up=False, at__gt=up.at) if up else samples.filter(is_up=False)
    first = down.order_by("at").first()
    return first.at if first else now


def long_down(now: datetime) -> list[str]:
    """Hosts in use that have not answered for long, over all agencies: for the installation's doctor."""
    found = []
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            rows = Host.objects.filter(client_id=client_id, is_enabled=True).select_related("client")
            down = [row for row in rows if row.facts.get("error")]
            found += [f"{row.client.slug}/{row}" for row in down if now - _down_since(row, now) > DOWN_FOR_LONG]
    return found
