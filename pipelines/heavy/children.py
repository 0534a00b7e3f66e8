"""One piece of work in a child process: limits from the settings, progress to the job, failures as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.artifacts import scratch_of
from pipelines.engine.jobs import JobFailed, Work
from pipelines.work.child import Limits, spawn


def run_child(
    work: Work,
    kind: str,
    spec: Mapping[str, Any],
    span: tuple[float, float] = (0.0, 1.0),
    *,
    network: bool = False,
    secret: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Runs `pipelines.work <kind>` to its end. `span`: which part of the job's progress bar it is.

    `network`: only for work that asks a host; `secret`: what opens that host.
    """
    start, end = span

    def on_line(line: Mapping[str, Any]) -> None:
        share = start + (end - start) * float(line.get("progress", 0.0))
        work.report(share, str(line.get("note", "")), **dict(line.get("numbers") or {}))

    scratch = scratch_of(work.job.pk)
    ended = spawn(
        kind,
        {**spec, "scratch": str(scratch / "work")},
        scratch=scratch / "work",
        limits=replace(limits(), network=network),
        on_line=on_line,
        cancelled=work.cancelled,
        log_path=scratch / f"{kind}.log",
        secret=secret or {},
    )
    if ended.result is not None:
        return dict(ended.result)
    raise JobFailed(ended.error or _("cancelled"), permanent=ended.permanent, log_tail=ended.log_tail)


def limits() -> Limits:
    return Limits(
        address_space_bytes=settings.CHILD_MEMORY_BYTES,
        cpu_s=settings.CHILD_CPU_S,
        file_bytes=settings.CHILD_FILE_BYTES,
    )


def base_folder(name: str) -> Path:
    """The folder of a base model that this installation offers."""
    folder = Path(settings.BASES.get(name, ""))
    if not settings.BASES.get(name) or not (folder / "config.json").is_file():
        known = ", ".join(sorted(n for n, p in settings.BASES.items() if (Path(p) / "config.json").is_file()))
        raise JobFailed(
            _("Base model %(name)s is not installed here. Installed: %(known)s. See RETUNE_BASES.")
            % {"name": name, "known": known or "-"},
            permanent=True,
        )
    return folder
