"""Whether a rollout may move now: freezes, change windows, blackout dates. A rollback never asks."""

from __future__ import annotations

from datetime import datetime

from pipelines.domain.change.windows import Blackout, Closed, Window, closed
from pipelines.engine.outcome import Wait
from pipelines.engine.waiting import LOOK_AGAIN
from pipelines.models import Run
from tenants.change_control import read_blackout, read_window
from tenants.freezing import freeze_of
from tenants.models import Pipeline


def held_back(run: Run, now: datetime) -> Wait | None:
    """The stage's answer while nothing may be placed and no share raised; its words are the ledger's reason."""
    found = closed_now(run.pipeline, now)
    if found is None:
        return None
    return Wait(min(now + LOOK_AGAIN, found.opens_at or now + LOOK_AGAIN), f"rollout waits: {found.reason}")


def closed_now(pipeline: Pipeline, now: datetime) -> Closed | None:
    """By the settings of today, not those that a run pinned: a blackout that was set this morning counts."""
    freeze = freeze_of(pipeline, now)
    if freeze is not None:
        return Closed(freeze.words, freeze.ends_at)
    chosen = pipeline.settings.change
    windows = [Window(*read_window(text), text) for text in chosen.windows]
    blackouts = [Blackout(*read_blackout(text), text) for text in chosen.blackouts]
    return closed(windows, blackouts, now.astimezone(pipeline.client.zone))
