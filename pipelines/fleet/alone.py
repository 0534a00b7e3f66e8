"""One at a time: on a host without room for both, production leaves while the new version is tried, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from pipelines.hosts import Host as Adapter
from pipelines.hosts import HostError
from pipelines.models import ModelVersion, Placement, Rollout, Route
from pipelines.reach import open_row
from tenants.models import Host

TIMEOUT_S = 600.0
KEY = "one_at_a_time"


def is_alone(rollout: Rollout) -> bool:
    """Whether the two versions of the rollout cannot be loaded together."""
    return bool(rollout.frozen.get(KEY))


@contextmanager
def room_for(version: ModelVersion, row: Host) -> Iterator[None]:
    """What serves now is unloaded on the host, and loaded again whatever happens to the version in between."""
    name = _serving(version, row)
    with closing(open_row(row, TIMEOUT_S)) as adapter:
        if name:
            adapter.unload(name)
        try:
            yield
        finally:
            if name:
                _back(adapter, version, row, name)


@contextmanager
def swapped_in(version: ModelVersion, row: Host) -> Iterator[None]:
    """For good: what serves now leaves before the version is loaded, and comes back only where that fails."""
    name = _serving(version, row) if _takes_turns(version) else ""
    with closing(open_row(row, TIMEOUT_S)) as adapter:
        if name:
            adapter.unload(name)
        try:
            yield
        except BaseException:
            if name:
                adapter.preload(name)
            raise


def make_room(rollout: Rollout) -> None:
    """After the promotion: the version before leaves the memory of its hosts. One that fails keeps it: it is asked
    for room when the new version is loaded."""
    if not is_alone(rollout) or rollout.previous_id is None:
        return
    rows = Placement.objects.select_related("host").filter(version_id=rollout.previous_id, status="placed")
    for place in rows.filter(host__is_enabled=True):
        with suppress(HostError), closing(open_row(place.host, TIMEOUT_S)) as adapter:
            adapter.unload(place.model_name)


def _takes_turns(version: ModelVersion) -> bool:
    route = Route.objects.filter(pipeline_id=version.pipeline_id).first()
    last = Rollout.objects.filter(version=route.production).order_by("-id").first() if route else None
    return last is not None and is_alone(last)


def _serving(version: ModelVersion, row: Host) -> str:
    route = Route.objects.filter(pipeline_id=version.pipeline_id).first()
    if route is None or route.production_id == version.pk:
        return ""
    return _name(route.production_id, row)


def _name(version_id: int, row: Host) -> str:
    placed = Placement.objects.filter(version_id=version_id, host=row, status="placed")
    return placed.values_list("model_name", flat=True).first() or ""


def _back(adapter: Adapter, version: ModelVersion, row: Host, name: str) -> None:
    own = _name(version.pk, row)
    if own:
        adapter.unload(own)
    adapter.preload(name)
