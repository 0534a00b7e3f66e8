"""Whether well-formed settings can work for this client on this installation: pages, files and programs ask this."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.domain.schedule import BadSchedule
from pipelines.fleet import adapters
from pipelines.reports.judging.measurable import refuse_unfed
from pipelines.reports.schedule import next_times
from pipelines.trainers import TRAINERS
from tenants.models import Host, Pipeline
from tenants.pipeline_settings import PipelineSettings, Schedule

Problem = tuple[str, str]


def problems(pipeline: Pipeline, wanted: PipelineSettings, now: datetime) -> Iterator[Problem]:
    """(path of the setting, sentence) of everything that the client or the installation does not have."""
    yield from _hosts(pipeline, wanted)
    yield from _registered("recipe.base", wanted.recipe.base, settings.BASES)
    yield from _registered("recipe.trainer", wanted.recipe.trainer, TRAINERS)
    yield from _schedule(wanted.triggers.schedule, pipeline.client.timezone, now)
    had = pipeline.settings.criteria.metrics if pipeline.revision else ()
    if unfed := refuse_unfed(pipeline, [name for name in wanted.criteria.metrics if name not in had]):
        yield "criteria.metrics", unfed
    for sentence in adapters.refusals(pipeline.client_id, wanted):
        yield "recipe.delivery", _("%(why)s. Choose merged, or other hosts.") % {"why": sentence}


def _hosts(pipeline: Pipeline, wanted: PipelineSettings) -> Iterator[Problem]:
    known = set(Host.objects.filter(client_id=pipeline.client_id, is_enabled=True).values_list("name", flat=True))
    for name in sorted(set(wanted.hosts) - known):
        words = {"name": name, "known": ", ".join(sorted(known)) or "-"}
        yield "hosts", _("the client has no host %(name)s. It has: %(known)s.") % words


def _registered(path: str, name: str, there: Collection[str]) -> Iterator[Problem]:
    if name not in there:
        words = {"name": name, "known": ", ".join(sorted(there))}
        yield path, _("%(name)s is not registered here. Registered: %(known)s.") % words


def _schedule(schedule: Schedule | None, zone: str, now: datetime) -> Iterator[Problem]:
    try:
        if schedule is not None and not next_times(schedule, zone, now, 1):
            yield "triggers.schedule.rule", _("This rule is never due.")
    except BadSchedule as error:
        yield "triggers.schedule.rule", str(error)
