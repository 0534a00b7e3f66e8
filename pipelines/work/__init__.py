"""Heavy work, run in a child process without Django: `python -m pipelines.work <kind> <spec.json>`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

from pipelines.work.report import Report, WorkError

__all__ = ["KINDS", "Report", "Work", "WorkError", "load"]

Work = Callable[[Mapping[str, Any], Report], dict[str, Any]]

KINDS: dict[str, str] = {
    "preflight": "pipelines.work.preflight:run",
    "train": "pipelines.work.train:run",
    "recall": "pipelines.work.train:recall",
    "convert": "pipelines.work.convert:run",
    "quantise": "pipelines.work.quantise:run",
    "verify": "pipelines.work.verify:run",
    "evaluate": "pipelines.work.evaluate:run",
    "hops": "pipelines.work.hops:run",
    "received": "pipelines.work.receiving.received:run",
    "guard": "pipelines.work.receiving.guarding:run",
}


def load(kind: str) -> Work:
    """The function behind a kind: (spec, report) -> result. An unknown kind is a permanent WorkError."""
    if kind not in KINDS:
        raise WorkError(f"There is no kind of work {kind!r}. Known kinds: {', '.join(KINDS)}.", permanent=True)
    module, _, attribute = KINDS[kind].partition(":")
    return cast(Work, getattr(import_module(module), attribute))
