"""One at a time: on a host without room for both, production leaves while the new version is tried, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from pipelines.hosts import Host as Adapter
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
