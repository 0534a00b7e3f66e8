"""Every client of an agency at a glance: a constant number of queries, what needs a person first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from pipelines.models import Drill, Example, ExampleState, Run
from pipelines.reports.schedule import next_scheduled
from tenants.models import Client, Host, Pipeline, Proposal
from tenants.people.four_eyes import open_ones


class Need(StrEnum):
    """Why a pipeline asks for a person; the order is the order of the page."""

    HELD = "held"
    FAILED = "failed"
    REJECTED = "rejected"
    QUARANTINE = "quarantine"


OF_RUNS = (Need.HELD, Need.FAILED, Need.REJECTED)


class Sort(StrEnum):
    NEEDS = "needs"
    NAME = "name"
    RECENT = "recent"


class Show(StrEnum):
    """Which pipelines are listed. `live`: with a run on its way; `bare`: without a model in production."""

    ALL = "all"
    NEEDS = "needs"
    LIVE = "live"
    BARE = "bare"
    PAUSED = "paused"


@dataclass(frozen=True)
class Wanted:
    """What the page asks for; `text` is looked for in the names of clients and pipelines."""

    text: str = ""
    sort: Sort = Sort.NEEDS
    show: Show = Show.ALL


@dataclass(frozen=True)
class PipelineLine:
    """One pipeline of one client; `run` is its latest one."""

    client: Client
    pipeline: Pipeline
    production: str
    promoted_at: datetime | None
    run: Run | None
    quarantined: int
    now: datetime

    @property
    def next_at(self) -> datetime | None:
        """Worked out when it is shown: half a millisecond each."""
        return next_scheduled(self.pipeline, self.now)

    @property
    def need(self) -> Need | None:
        if self.run is not None and self.run.status in OF_RUNS:
            return Need(self.run.status)
        return Need.QUARANTINE if self.quarantined else None

    def is_shown(self, show: Show) -> bool:
        match show:
            case Show.NEEDS:
                return self.need is not None
            case Show.LIVE:
                return self.run is not None and self.run.is_live
            case Show.BARE:
                return not self.production
            case Show.PAUSED:
                return self.pipeline.is_paused
        return True

    @property
    def sentence(self) -> str:
        """What a person is asked, in words."""
        match self.need:
            case Need.HELD | Need.FAILED | Need.REJECTED if self.run is not None:
                return self.run.reason
            case Need.QUARANTINE:
                return _("%(count)s rows wait in quarantine.") % {"count": self.quarantined}
        return ""

    @property
    def last_at(self) -> datetime | None:
        return (self.run.finished_at or self.run.created_at) if self.run else None


@dataclass(frozen=True)
class Overview:
    """`lines` are all that matched; `bare` are clients that have no pipeline yet.

    `silent` are hosts that do not answer, `drills` those that failed and were not repeated since,
    `proposals` wait for a second person.
    """

    lines: tuple[PipelineLine, ...]
    needing: tuple[PipelineLine, ...]
    bare: tuple[Client, ...]
    clients: int
    silent: tuple[Host, ...]
    drills: tuple[Drill, ...]
    proposals: tuple[Proposal, ...]

    @property
    def needs(self) -> int:
        return len(self.needing) + len(self.silent) + len(self.drills) + len(self.proposals)


def agency_overview(asked: Wanted, now: datetime) -> Overview:
    """Inside an agency's scope. What needs a person is always told, whatever is listed."""
    text, sort = asked.text, asked.sort
    lines = pipeline_lines(Pipeline.objects.all(), now)
    clients = list(Client.objects.all())
    wanted = [line for line in lines if _matches(text, line.client.name, line.pipeline.name)]
    busy = {line.client.pk for line in lines}
    bare = tuple(c for c in clients if c.pk not in busy and _matches(text, c.name))
    bare = bare if asked.show in (Show.ALL, Show.BARE) else ()
    listed = [line for line in wanted if line.is_shown(asked.show)]
    ordered = sorted(listed, key=lambda line: _rank(line, sort))
    needing = tuple(sorted((line for line in wanted if line.need), key=lambda line: _rank(line, Sort.NEEDS)))
    silent = tuple(host for host in _silent_hosts() if _matches(text, host.client.name))
    drills = tuple(one for one in _failed_drills() if _matches(text, one.client.name, one.pipeline.name))
    proposals = tuple(
        one for one in _proposals(now) if _matches(text, one.client.name if one.client else "", one.subject)
    )
    return Overview(tuple(ordered), needing, bare, len(clients), silent, drills, proposals)


def _silent_hosts() -> QuerySet[Host]:
    found = Host.objects.filter(is_enabled=True, facts__has_key="error").exclude(facts__error="")
    return found.select_related("client").order_by("client__name", "name")


def _proposals(now: datetime) -> QuerySet[Proposal]:
    """What waits for a second person."""
    return open_ones(Proposal.objects.select_related("client", "pipeline").order_by("expires_at"), now)


def _failed_drills() -> QuerySet[Drill]:
    """The latest of each pipeline, where it failed."""
    newer = Drill.objects.filter(pipeline=OuterRef("pipeline"), pk__gt=OuterRef("pk"), is_passed__isnull=False)
    found = Drill.objects.filter(~Exists(newer), is_passed=False)
    return found.select_related("client", "pipeline", "to_version")


def pipeline_lines(rows: object, now: datetime) -> list[PipelineLine]:
    """Lines of a queryset of pipelines, in two queries whatever their number."""
    related = ("client", "revision", "state__latest_run", "state__production")
    pipelines = list(rows.select_related(*related))  # type: ignore[attr-defined]
    waiting = dict(
        Example.objects.filter(state=ExampleState.QUARANTINED).values_list("pipeline").annotate(n=Count("id"))
    )
    return [_line(pipeline, waiting.get(pipeline.pk, 0), now) for pipeline in pipelines]


def _line(pipeline: Pipeline, quarantined: int, now: datetime) -> PipelineLine:
    state = getattr(pipeline, "state", None)
    production = state.production if state else None
    label, at = (production.label, production.promoted_at) if production else ("", None)
    run = state.latest_run if state else None
    return PipelineLine(pipeline.client, pipeline, label, at, run, quarantined, now)


def _matches(text: str, *names: str) -> bool:
    return not text or any(text.casefold() in name.casefold() for name in names)


def _rank(line: PipelineLine, sort: Sort) -> tuple[float, str, str]:
    names = (line.client.name.casefold(), line.pipeline.name.casefold())
    match sort:
        case Sort.NEEDS:
            return (list(Need).index(line.need) if line.need else len(Need), *names)
        case Sort.RECENT:
            return (-(line.last_at.timestamp() if line.last_at else 0.0), *names)
    return (0, *names)
