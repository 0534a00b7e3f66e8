"""The logs of a whole agency: every verdict, every taking back, every act; newest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from django.db.models import QuerySet

from pipelines.models import GateResult, Rollback
from tenants.models import AuditEvent

LATELY = 2_000
AGENCY_ITSELF = "-"  # No client can be called that.


@dataclass(frozen=True)
class LogFilter:
    """What a log is narrowed to; empty means everything."""

    client: str = ""
    verdict: str = ""
    gate: str = ""
    phase: str = ""
    pipeline: str = ""
    effect: str = ""  # block, flag, warn; or shadow, waived
    since: date | None = None  # whole days, in the agency's own time zone
    until: date | None = None
    actor: str = ""
    verb: str = ""


def gate_log(wanted: LogFilter) -> QuerySet[GateResult]:
    rows = GateResult.objects.select_related("run__pipeline__client", "waiver").order_by("-id")
    chosen = {
        "run__pipeline__client__slug": wanted.client,
        "run__pipeline__slug": wanted.pipeline,
        "verdict": wanted.verdict,
        "name": wanted.gate,
        "created_at__date__gte": wanted.since,
        "created_at__date__lte": wanted.until,
    }
    rows = rows.filter(**{path: value for path, value in chosen.items() if value})
    match wanted.effect:
        case "":
            return rows
        case "shadow":
            return rows.filter(is_shadow=True)
        case "waived":
            return rows.filter(waiver__isnull=False).exclude(verdict="passed")
    return rows.filter(effect=wanted.effect, is_shadow=False)


def rollback_log(wanted: LogFilter) -> QuerySet[Rollback]:
    rows = Rollback.objects.select_related("pipeline__client", "from_version", "to_version", "rollout__run").order_by(
        "-id"
    )
    chosen = {"pipeline__client__slug": wanted.client, "phase": wanted.phase}
    return rows.filter(**{path: value for path, value in chosen.items() if value})


def audit_log(wanted: LogFilter) -> QuerySet[AuditEvent]:
    """Acts in the agency itself and at its clients; `actor` is looked for inside names."""
    rows = AuditEvent.objects.select_related("client").order_by("-id")
    if wanted.client == AGENCY_ITSELF:
        rows = rows.filter(client=None)
    elif wanted.client:
        rows = rows.filter(client__slug=wanted.client)
    chosen = {"actor__icontains": wanted.actor, "verb": wanted.verb}
    return rows.filter(**{path: value for path, value in chosen.items() if value})


def audit_verbs() -> list[str]:
    return list(AuditEvent.objects.order_by("verb").values_list("verb", flat=True).distinct())


GATE_COLUMNS = (
    "judged at", "client", "pipeline", "run", "gate", "kind", "effect", "verdict", "candidate", "production", "n",
    "p worse", "more cases", "judge version", "waived by", "sentence",
)  # fmt: skip


def gate_table(rows: Iterable[GateResult]) -> Iterator[list[object]]:
    """The log as a table, its head first."""
    yield list(GATE_COLUMNS)
    for g in rows:
        pipeline, numbers = g.run.pipeline, g.numbers
        place = [g.created_at.isoformat(), pipeline.client.name, pipeline.name, g.run.number]
        said = [g.name, g.kind, "shadow" if g.is_shadow else g.effect, g.verdict]
        measured = [numbers.get(name) for name in ("candidate", "production", "n", "p_worse", "more_cases")]
        waived = g.waiver.approver if g.waiver and g.is_waived else ""
        yield [*place, *said, *measured, g.judge_version, waived, g.sentence]


def gate_names() -> list[str]:
    """Those that spoke lately: of years of verdicts the newest have the names that there are."""
    return sorted(set(GateResult.objects.order_by("-id").values_list("name", flat=True)[:LATELY]))
