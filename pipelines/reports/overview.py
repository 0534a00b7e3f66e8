"""Every client of an agency at a glance: a constant number of queries, what needs a person first.

What is listed and in which order is judged on glances, one tuple a pipeline; whole rows are read for one page of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from pipelines.domain.transitions import LIVE_RUNS
from pipelines.models import Drill, Example, ExampleState, Run
from pipelines.reports.schedule import anchors_of, next_scheduled
from tenants.models import Client, Host, Pipeline, Proposal
from tenants.people.four_eyes import open_ones


class Need(StrEnum):
    """Why a pipeline asks for a person; the order is the order of the page."""

    HELD = "held"
    FAILED = "failed"
    REJECTED = "rejected"
    QUARANTINE = "quarantine"


OF_RUNS = (Need.HELD, Need.FAILED, Need.REJECTED)
PLACES = {need: place for place, need in enumerate(Need)}


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


def need_of(status: str | None, quarantined: int) -> Need | None:
    """By the status of the latest run and the rows that wait in quarantine."""
    if status in OF_RUNS:
        return Need(status)
    return Need.QUARANTINE if quarantined else None


@dataclass(frozen=True, slots=True)
class Glance:
    """As much of a pipeline as places it in the list; `status` and `last_at` are of its latest run."""

    pk: int
    client_id: int
    client: str
    name: str
    is_paused: bool
    version: int | None
    status: str | None
    last_at: datetime | None
    quarantined: int

    @property
    def need(self) -> Need | None:
        return need_of(self.status, self.quarantined)

    def is_shown(self, show: Show) -> bool:
        match show:
            case Show.NEEDS:
                return self.need is not None
            case Show.LIVE:
                return self.status in LIVE_RUNS
            case Show.BARE:
                return self.version is None
            case Show.PAUSED:
                return self.is_paused
        return True

    def rank(self, sort: Sort) -> tuple[float, str, str]:
        names = (self.client.casefold(), self.name.casefold())
        match sort:
            case Sort.NEEDS:
                return (PLACES[self.need] if self.need else len(PLACES), *names)
            case Sort.RECENT:
                return (-(self.last_at.timestamp() if self.last_at else 0.0), *names)
        return (0, *names)


@dataclass(frozen=True)
class PipelineLine:
    """One pipeline of one client; `run` is its latest one."""

    client: Client
    pipeline: Pipeline
    production: str
    promoted_at: datetime | None
    run: Run | None
    quarantined: int
    set_at: datetime | None
    now: datetime

    @property
    def next_at(self) -> datetime | None:
        return next_scheduled(self.pipeline, self.now, self.set_at)

    @property
    def need(self) -> Need | None:
        return need_of(self.run.status if self.run else None, self.quarantined)

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
class Lines:
    """Lines in the order of their glances. Their number is known; a slice reads what nobody has `read` yet."""

    glances: tuple[Glance, ...]
    now: datetime
    read: dict[int, PipelineLine]

    def __len__(self) -> int:
        return len(self.glances)

    def __iter__(self) -> Iterator[PipelineLine]:
        return iter(self[:])

    def __getitem__(self, part: slice) -> list[PipelineLine]:
        wanted = self.glances[part]
        waiting = {one.pk: one.quarantined for one in wanted if one.pk not in self.read}
        if waiting:
            self.read.update(_lines(Pipeline.objects.filter(pk__in=waiting), waiting, self.now))
        return [self.read[one.pk] for one in wanted if one.pk in self.read]


@dataclass(frozen=True)
class Overview:
    """`lines` are all that matched; `bare` are clients that have no pipeline yet.

    `silent` are hosts that do not answer, `drills` those that failed and were not repeated since,
    `proposals` wait for a second person.
    """

    lines: Lines
    needing: Lines
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
    text = asked.text
    wanted = [one for one in _glances() if _matches(text, one.client, one.name)]
    listed = sorted((one for one in wanted if one.is_shown(asked.show)), key=lambda one: one.rank(asked.sort))
    needing = sorted((one for one in wanted if one.need), key=lambda one: one.rank(Sort.NEEDS))
    read: dict[int, PipelineLine] = {}
    bare = _bare(text) if asked.show in (Show.ALL, Show.BARE) else ()
    silent = tuple(host for host in _silent_hosts() if _matches(text, host.client.name))
    drills = tuple(one for one in _failed_drills() if _matches(text, one.client.name, one.pipeline.name))
    proposals = tuple(
        one for one in _proposals(now) if _matches(text, one.client.name if one.client else "", one.subject)
    )
    lines, needing_lines = (Lines(tuple(some), now, read) for some in (listed, needing))
    return Overview(lines, needing_lines, bare, Client.objects.count(), silent, drills, proposals)


def _glances() -> Iterator[Glance]:
    """Of every pipeline in the scope, in one query: 500 of them cost less than 20 whole rows."""
    waiting = Example.objects.filter(pipeline=OuterRef("pk"), state=ExampleState.QUARANTINED).order_by()
    waiting = waiting.values("pipeline").annotate(n=Count("pk")).values("n")
    last_at = Coalesce("state__latest_run__finished_at", "state__latest_run__created_at")
    found = Pipeline.objects.order_by().annotate(last_at=last_at, quarantined=Coalesce(Subquery(waiting), 0))
    named = ("pk", "client_id", F("client__name"), "name", "is_paused", F("state__production"))
    rows = found.values_list(*named, F("state__latest_run__status"), "last_at", "quarantined")
    return (Glance(*row) for row in rows)


def _bare(text: str) -> tuple[Client, ...]:
    """Clients without a pipeline."""
    rows = Client.objects.filter(~Exists(Pipeline.objects.filter(client=OuterRef("pk"))))
    return tuple(client for client in rows if _matches(text, client.name))


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


def pipeline_lines(rows: QuerySet[Pipeline], now: datetime) -> list[PipelineLine]:
    """Lines of a queryset of pipelines, in two queries whatever their number."""
    waiting = Example.objects.filter(pipeline__in=rows.order_by().values("pk"), state=ExampleState.QUARANTINED)
    counted = dict(waiting.order_by().values_list("pipeline").annotate(n=Count("id")))
    return list(_lines(rows, counted, now).values())


def _lines(rows: QuerySet[Pipeline], waiting: Mapping[int, int], now: datetime) -> dict[int, PipelineLine]:
    """By the pipeline's id. A version's card and prompt can be long, and no line shows them."""
    related = ("client", "revision", "state__latest_run", "state__production")
    unread = [f"state__production__{name}" for name in ("card", "system", "parameters")]
    unread += [f"state__latest_run__{name}" for name in ("occasion", "approvals")]
    found = list(rows.select_related(*related).defer(*unread, "own_fields", "client__origin"))
    set_at = anchors_of(found)
    return {row.pk: _line(row, waiting.get(row.pk, 0), set_at.get(row.pk), now) for row in found}


def _line(pipeline: Pipeline, quarantined: int, set_at: datetime | None, now: datetime) -> PipelineLine:
    state = getattr(pipeline, "state", None)
    production = state.production if state else None
    label, at = (production.label, production.promoted_at) if production else ("", None)
    run = state.latest_run if state else None
    return PipelineLine(pipeline.client, pipeline, label, at, run, quarantined, set_at, now)


def _matches(text: str, *names: str) -> bool:
    return not text or any(text.casefold() in name.casefold() for name in names)
