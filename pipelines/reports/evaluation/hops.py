"""Loss by hop as the version's page shows it: each step with its figures, and how the last measurement goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from pipelines.models import Job, ModelVersion
from pipelines.reports.runs import JobLine, job_line


@dataclass(frozen=True)
class Hop:
    """One step. `figures`: (metric, value); `alike`, `lost` and `won` against the step before."""

    name: str
    what: str
    figures: tuple[tuple[str, float | None], ...]
    right: int
    bytes: int | None
    alike: int | None
    lost: int | None
    won: int | None


@dataclass(frozen=True)
class HopTable:
    metrics: tuple[str, ...]
    hops: tuple[Hop, ...]
    n: int
    engine: str
    host: str
    set_version: int | None


@dataclass(frozen=True)
class Hops:
    """`job` while it is under way, or when it failed; `table` of the last one that succeeded."""

    job: JobLine | None
    is_live: bool
    table: HopTable | None
    obstacle: str


def hops_of(version: ModelVersion) -> Hops:
    jobs = list(Job.objects.filter(run=version.run_id, kind__startswith="hops").order_by("-id"))
    done = next((job for job in jobs if job.status == "succeeded"), None)
    latest = jobs[0] if jobs and jobs[0].status != "succeeded" else None
    is_live = latest is not None and latest.status in ("queued", "running")
    line = job_line(latest, timezone.now()) if latest else None
    return Hops(line, is_live, _table(done.result) if done else None, obstacle_of(version))


def obstacle_of(version: ModelVersion) -> str:
    """Why it cannot be measured; empty when it can."""
    if not version.adapter_digest:
        return _("No adapter was kept of this version.")
    return ""


@dataclass(frozen=True)
class HostParity:
    host: str
    checked: int


@dataclass(frozen=True)
class Parity:
    """A prompt as the training renders it, and on which hosts that was seen."""

    text: str
    hosts: tuple[HostParity, ...]


def parity_of(version: ModelVersion) -> Parity:
    kept = version.card.get("parity") or [{"text": ""}]
    rows = version.placements.select_related("host").order_by("host__name")
    hosts = tuple(HostParity(row.host.name, int(row.facts.get("prompts_checked", 0))) for row in rows)
    return Parity(kept[0]["text"], hosts)


def _table(result: dict[str, Any]) -> HopTable:
    metrics = tuple(result["metrics"])
    what = {
        "base": _("the base model, not trained"),
        "adapter": _("base and adapter apart, f16"),
        "merged": _("merged, f16"),
        "quantised": _("the file that ships"),
        "host": result["host"],
    }
    figures = [tuple((m, hop["metrics"].get(m)) for m in metrics) for hop in result["hops"]]
    hops = tuple(
        Hop(name=hop["name"], what=what[hop["name"]], figures=found, **_of(hop))
        for hop, found in zip(result["hops"], figures, strict=True)
    )
    return HopTable(metrics, hops, result["n"], result["engine"], result["host"], result.get("set_version"))


def _of(hop: dict[str, Any]) -> dict[str, Any]:
    return {name: hop[name] for name in ("right", "bytes", "alike", "lost", "won")}
