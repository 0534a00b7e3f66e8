"""Whether, and to what effect, all traffic can go back to a version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from pipelines.domain.change.memory import Rung
from pipelines.fleet.memory import cost
from pipelines.models import ModelVersion, Route
from pipelines.reports.pipelines import VersionLine
from pipelines.shipping.rollback import is_warm, leaving, obstacle
from tenants.models import Pipeline


@dataclass(frozen=True)
class WayBack:
    """`obstacle` says why not; empty when the way is free. `leaving` is what would stop answering.

    `is_warm`: hosts keep the target loaded, so that traffic moves at once. `cost_s`: the seconds that it is expected to
    take, and `basis` how that is known.
    """

    target: ModelVersion
    leaving: ModelVersion | None
    hosts: tuple[str, ...]
    told: tuple[str, ...]
    obstacle: str
    is_warm: bool = False
    cost_s: float = 0.0
    basis: str = ""


def way_back(pipeline: Pipeline, target: ModelVersion) -> WayBack:
    route = route_of(pipeline)
    if route is None:
        return WayBack(target, None, (), (), _("Nothing is in production yet, so there is nothing to roll back."))
    hosts = tuple(target.placements.filter(status="placed").values_list("host__name", flat=True))
    told = tuple(pipeline.settings.mailed("rolled_back"))
    warm = is_warm(route, target)
    seconds, basis = cost(Rung.CO_RESIDENT if warm else Rung.ONE_AT_A_TIME, target)
    return WayBack(target, leaving(route, target), hosts, told, obstacle(route, target), warm, seconds, basis)


def restorable(pipeline: Pipeline, lines: Sequence[VersionLine]) -> dict[int, str]:
    """{version number: why not, "" where it can be restored}."""
    route = route_of(pipeline)
    if route is None:
        nothing = _("Nothing is in production yet, so there is nothing to roll back.")
        return {line.version.number: nothing for line in lines}
    return {line.version.number: obstacle(route, line.version) for line in lines}


def route_of(pipeline: Pipeline) -> Route | None:
    return Route.objects.filter(pipeline=pipeline).select_related("production", "candidate").first()
