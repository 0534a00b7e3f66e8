"""What happened at a client between two times, in order, and which answers the new versions changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from pipelines.models import ModelVersion, ReplayPair, Rollout, Scorecard
from pipelines.reports.judging.comparison import CaseLine, Wanted, comparison, with_questions
from tenants.models import AuditEvent, Client

# What an act is about, by how its verb begins; the first that fits.
ABOUT: dict[str, tuple[str, ...]] = {
    "versions": ("route.", "run.", "rollback", "rollout.", "version.", "gateway.", "pipeline."),
    "settings": ("settings.", "gate.", "freeze.", "four-eyes.", "proposal.", "client.", "report."),
    "hosts": ("host.",),
    "data": ("examples.", "rows.", "source.", "evalset.", "feedback."),
    "people": ("member.", "account.", "key.", "share.", "letter.", "judge."),
}
PROMPTS = "prompts"  # Runs that only brought a prompt.
KINDS = ("versions", PROMPTS, "settings", "hosts", "data", "people", "other")
CHANGED = ("lost", "won", "wrong", "reworded")
EXAMPLES = 5


@dataclass(frozen=True)
class Moment:
    """One act, and what it is about."""

    event: AuditEvent
    kind: str


@dataclass(frozen=True)
class Changed:
    """A version that went into service, beside the one before it: on the cases, and on replayed traffic.

    `counts` and `examples` of its evaluation; `replayed` and `differed` of its replay, None where there was none.
    `missing`: why there are no answers.
    """

    version: ModelVersion
    before: ModelVersion | None
    counts: tuple[tuple[str, int], ...]
    examples: tuple[CaseLine, ...]
    replayed: int | None
    differed: int | None
    missing: str


def kind_of(event: AuditEvent) -> str:
    if event.verb == "run.start" and event.detail.get("kind") == "prompt":
        return PROMPTS
    return next((kind for kind, begins in ABOUT.items() if event.verb.startswith(begins)), "other")


def moments(client: Client, since: datetime, until: datetime, kind: str, text: str) -> list[Moment]:
    """Newest first. `text` is looked for in subjects, actors and verbs."""
    rows: QuerySet[AuditEvent] = AuditEvent.objects.filter(client=client, at__gte=since, at__lte=until)
    found = [Moment(event, kind_of(event)) for event in rows.order_by("-at", "-seq")]
    wanted = text.casefold()
    return [
        m
        for m in found
        if (not kind or m.kind == kind)
        and (not wanted or wanted in f"{m.event.subject} {m.event.actor} {m.event.verb}".casefold())
    ]


def changed_answers(client: Client, since: datetime, until: datetime) -> list[Changed]:
    """Of every version that went into service in between, newest first."""
    rows = ModelVersion.objects.filter(client=client, promoted_at__gte=since, promoted_at__lte=until)
    return [_changed(version) for version in rows.select_related("pipeline", "run").order_by("-promoted_at")]


def _changed(version: ModelVersion) -> Changed:
    card = Scorecard.objects.filter(version=version).select_related("version", "production").first()
    replayed, differed = _replayed(version)
    if card is None or card.production is None:
        return Changed(version, None, (), (), replayed, differed, "")
    found = comparison(card, Wanted())
    drawn = [line for line in found.lines if line.change in ("lost", "won", "reworded")][:EXAMPLES]
    counts = tuple((change, n) for change, n in found.counts if change in CHANGED)
    examples = tuple(with_questions(card, drawn))
    return Changed(version, card.production, counts, examples, replayed, differed, found.missing)


def _replayed(version: ModelVersion) -> tuple[int | None, int | None]:
    """(pairs, those that differ) of the replay before its canary."""
    rollout = Rollout.objects.filter(version=version).first()
    pairs = list(ReplayPair.objects.filter(rollout=rollout, phase="canary")) if rollout else []
    return (len(pairs), sum(pair.is_changed for pair in pairs)) if pairs else (None, None)
