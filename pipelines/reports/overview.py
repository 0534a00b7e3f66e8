"""Every client of an agency at a glance: a constant number of queries, what needs a person first.

Those that need somebody are few and are ranked here; all others stay in the database, which orders and counts them, and
whole rows are read for one page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from django.db.models import Count, Exists, OuterRef, QuerySet
from django.db.models.functions import Coalesce, Lower
from django.utils.translation import gettext as _

from pipelines.domain.transitions import LIVE_RUNS
from pipelines.models import Drill, Example, ExampleState, PipelineState, Run
from pipelines.models.run import NEEDY
from pipelines.reports.schedule import anchors_of, next_scheduled
from tenants.models import Client, Host, Pipeline, Proposal
from tenants.people.four_eyes import open_ones


class Need(StrEnum):
    """Why a pipeline asks for a person; the order is the order of the page."""

    HELD = "held"
    FAILED = "failed"
    REJECTED = "rejected"
    QUARANTINE = "quarantine"


OF_RUNS = tuple(Need(status) for status in NEEDY)
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
class Asking:
    """A pipeline that needs a person: as much of it as places it in the list."""

    pk: int
    client: str
    name: str
    need: Need

    @property
    def rank(self) -> tuple[int, str, str]:
        return (PLACES[self.need], self.client.casefold(), self.name.casefold())


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
    """The pipelines of `first`, then `others` in their order. A slice reads what nobody has `read` yet.

    `waiting`: {pipeline's id: its rows in quarantine}. `placed`: what stands where among the others, as far as read.
    """

    first: tuple[int, ...]
    others: QuerySet[Pipeline]
    waiting: Mapping[int, int]
    now: datetime
    read: dict[int, PipelineLine]
    placed: dict[int, int] = field(default_factory=dict)

    @cached_property
    def count_of_others(self) -> int:
        return self.others.count()

    def __len__(self) -> int:
        return len(self.first) + self.count_of_others

    def __iter__(self) -> Iterator[PipelineLine]:
        return iter(self[:])

    def __getitem__(self, part: slice) -> list[PipelineLine]:
        wanted = self._wanted(part)
        unread = [pk for pk in wanted if pk not in self.read]
        if unread:
            self.read.update(_lines(Pipeline.objects.filter(pk__in=unread), self.waiting, self.now))
        return [self.read[pk] for pk in wanted if pk in self.read]

    def _wanted(self, part: slice) -> list[int]:
        begin, end, _step = part.indices(len(self))
        behind = len(self.first)
        places = range(max(0, begin - behind), max(0, end - behind))
        if any(place not in self.placed for place in places):
            found = self.others.values_list("pk", flat=True)[places.start : places.stop]
            self.placed.update(zip(places, found, strict=False))
        return [*self.first[begin:end], *(self.placed[place] for place in places if place in self.placed)]


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
    text, waiting = asked.text, _quarantined(Example.objects.all())
    asking = [one for one in _asking(waiting) if _matches(text, one.client, one.name)]
    needing = sorted(asking, key=lambda one: one.rank)
    pks, read = tuple(one.pk for one in needing), dict[int, PipelineLine]()
    first, others = _listed(asked, pks)
    lines = Lines(first, others, waiting, now, read)
    bare = _bare(text) if asked.show in (Show.ALL, Show.BARE) else ()
    silent = tuple(host for host in _silent_hosts() if _matches(text, host.client.name))
    drills = tuple(one for one in _failed_drills() if _matches(text, one.client.name, one.pipeline.name))
    proposals = tuple(
        one for one in _proposals(now) if _matches(text, one.client.name if one.client else "", one.subject)
    )
    needing_lines = Lines(pks, Pipeline.objects.none(), waiting, now, read)
    return Overview(lines, needing_lines, bare, Client.objects.count(), silent, drills, proposals)


def _quarantined(rows: QuerySet[Example]) -> dict[int, int]:
    """{pipeline's id: how many rows wait}, of those with any."""
    waiting = rows.filter(state=ExampleState.QUARANTINED)
    return dict(waiting.order_by().values_list("pipeline").annotate(n=Count("id")))


def _asking(waiting: Mapping[int, int]) -> Iterator[Asking]:
    """By the status of the latest run, else by the rows that wait."""
    named = ("pipeline", "pipeline__client__name", "pipeline__name", "latest_run__status")
    found = PipelineState.objects.filter(latest_run__status__in=OF_RUNS).values_list(*named)
    by_run = {pk: Asking(pk, client, name, Need(status)) for pk, client, name, status in found}
    yield from by_run.values()
    others = Pipeline.objects.filter(pk__in=waiting.keys() - by_run.keys()).order_by()
    for pk, client, name in others.values_list("pk", "client__name", "name"):
        yield Asking(pk, client, name, Need.QUARANTINE)


def _listed(asked: Wanted, needing: tuple[int, ...]) -> tuple[tuple[int, ...], QuerySet[Pipeline]]:
    """Which of those that need somebody come first, and all others that are listed, in their order."""
    rows = _shown(asked.show, needing)
    if asked.text:
        named = Pipeline.objects.order_by().values_list("pk", "client__name", "name")
        rows = rows.filter(pk__in=[pk for pk, *names in named if _matches(asked.text, *names)])
    by_name = (Lower("client__name"), Lower("name"), "pk")
    match asked.sort:
        case Sort.NAME:
            return (), rows.order_by(*by_name)
        case Sort.RECENT:
            last_at = Coalesce("state__latest_run__finished_at", "state__latest_run__created_at")
            return (), rows.order_by(last_at.desc(nulls_last=True), *by_name)
    shown = set(rows.filter(pk__in=needing).values_list("pk", flat=True)) if needing else set[int]()
    return tuple(pk for pk in needing if pk in shown), rows.exclude(pk__in=needing).order_by(*by_name)


def _shown(show: Show, needing: tuple[int, ...]) -> QuerySet[Pipeline]:
    rows: QuerySet[Pipeline] = Pipeline.objects.all()
    match show:
        case Show.NEEDS:
            return rows.filter(pk__in=needing)
        case Show.LIVE:
            return rows.filter(state__latest_run__status__in=LIVE_RUNS)
        case Show.BARE:
            return rows.filter(state__production=None)
        case Show.PAUSED:
            return rows.filter(is_paused=True)
    return rows


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
    counted = _quarantined(Example.objects.filter(pipeline__in=rows.order_by().values("pk")))
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
