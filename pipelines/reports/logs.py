"""The gate log and the rollback log: every verdict and every taking back, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from pipelines.models import GateResult, Rollback


@dataclass(frozen=True)
class LogFilter:
    """What a log is narrowed to; empty means everything."""

    client: str = ""
    verdict: str = ""
    gate: str = ""
    phase: str = ""


def gate_log(wanted: LogFilter) -> QuerySet[GateResult]:
    rows = GateResult.objects.select_related("run__pipeline__client").order_by("-id")
    chosen = {"run__pipeline__client__slug": wanted.client, "verdict": wanted.verdict, "name": wanted.gate}
    return rows.filter(**{path: value for path, value in chosen.items() if value})


def rollback_log(wanted: LogFilter) -> QuerySet[Rollback]:
    rows = Rollback.objects.select_related("pipeline__client", "from_version", "to_version", "rollout__run").order_by(
        "-id"
    )
    chosen = {"pipeline__client__slug": wanted.client, "phase": wanted.phase}
    return rows.filter(**{path: value for path, value in chosen.items() if value})


def gate_names() -> list[str]:
    return list(GateResult.objects.order_by("name").values_list("name", flat=True).distinct())
