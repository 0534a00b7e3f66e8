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
from pipelines.trainers import HERE
from tenants.following.changes import Saver
from tenants.models import Host, Pipeline
from tenants.pipeline_settings import PipelineSettings, Recipe, Schedule
from tenants.telling.channels import channels_for
from tenants.training import NoSeat, seat

Problem = tuple[str, str]


def problems(pipeline: Pipeline, wanted: PipelineSettings, now: datetime) -> Iterator[Problem]:
    """(path of the setting, sentence) of everything that the client or the installation does not have."""
    yield from _hosts(pipeline, wanted)
    yield from _registered("recipe.base", wanted.recipe.base, settings.BASES)
    yield from _trainer(pipeline, wanted.recipe)
    yield from _schedule(wanted.triggers.schedule, pipeline.client.timezone, now)
    had = pipeline.settings.criteria.metrics if pipeline.revision else ()
    if unfed := refuse_unfed(pipeline, [name for name in wanted.criteria.metrics if name not in had]):
        yield "criteria.metrics", unfed
    yield from _channels(pipeline, wanted)
    for sentence in adapters.refusals(pipeline.client_id, wanted):
        yield "recipe.delivery", _("%(why)s. Choose merged, or other hosts.") % {"why": sentence}


def saver(actor: str, now: datetime) -> Saver:
    """For whoever changes many pipelines at once: judged by the first problem in a sentence, empty where there is none.

    What the change does not touch is not asked: an older problem keeps no cooldown back, and many pipelines stay quick.
    """

    def judge(pipeline: Pipeline, wanted: PipelineSettings) -> str:
        if _asked(pipeline.settings) == _asked(wanted):
            return ""
        return next((f"{path}: {sentence}" for path, sentence in problems(pipeline, wanted, now)), "")

    return Saver(actor, now, judge)


def _asked(settings: PipelineSettings) -> tuple[object, ...]:
    recipe = settings.recipe
    terms = (recipe.base, recipe.trainer, recipe.delivery)
    return settings.hosts, terms, settings.triggers.schedule, settings.criteria.metrics


def _hosts(pipeline: Pipeline, wanted: PipelineSettings) -> Iterator[Problem]:
    known = set(Host.objects.filter(client_id=pipeline.client_id, is_enabled=True).values_list("name", flat=True))
    for name in sorted(set(wanted.hosts) - known):
        words = {"name": name, "known": ", ".join(sorted(known)) or "-"}
        yield "hosts", _("the client has no host %(name)s. It has: %(known)s.") % words


def _channels(pipeline: Pipeline, wanted: PipelineSettings) -> Iterator[Problem]:
    """Those that a rule names and that are neither the agency's nor this client's."""
    asked = {kind: rule.channels for kind, rule in wanted.notices.items() if isinstance(rule.channels, tuple)}
    known = {channel.name for channel in channels_for(pipeline.client)} if asked else set()
    for kind, names in asked.items():
        for name in sorted(set(names) - known):
            words = {"name": name, "known": ", ".join(sorted(known)) or "-"}
            yield f"notices.{kind}.channels", _("there is no channel %(name)s. There are: %(known)s.") % words


def _trainer(pipeline: Pipeline, recipe: Recipe) -> Iterator[Problem]:
    """What a run would refuse in the night is refused here: no such command, no such service, no consent."""
    path, (kind, _colon, which) = "recipe.trainer", recipe.trainer.partition(":")
    match kind:
        case "import":
            yield path, _("a model is imported by bringing its file; here stands what trains when nobody is there.")
        case "remote":
            try:
                found = seat(pipeline.client_id, pipeline.agency_id, which)
            except NoSeat as refused:
                yield path, str(refused)
            else:
                if found.base != recipe.base:
                    words = {"name": which, "base": found.base}
                    yield path, _("“%(name)s” trains the base %(base)s: choose that one.") % words
        case "command":
            yield from _registered(path, which, settings.TRAINER_COMMANDS)
        case _:
            yield from _registered(path, recipe.trainer, HERE)


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
