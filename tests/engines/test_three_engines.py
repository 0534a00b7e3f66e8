"""The same runs leave the identical list of (seq, stage, from, to, reason) under every engine."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.utils.timezone import now

from pipelines import plan
from pipelines.ticker import Ticker
from tests.engines.processes import embedded, production
from tests.engines.story import Event, Story
from tests.flow import fake_jobs
from tests.installation import Installation, as_default

STAGES = ["trigger", "validate", "finetune", "evaluate", "compare", "deploy", "monitor"]


@pytest.fixture
def eager_story(transactional_db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    """What the runs leave when everything happens in this process, one after the other."""
    for kind, handler in fake_jobs.HANDLERS.items():
        monkeypatch.setitem(plan.JOBS, kind, handler)
    monkeypatch.setattr(fake_jobs, "WRONG", {2: 40})
    settings.VAR = tmp_path
    return Story(tmp_path, lambda: Ticker().tick(now())).play()


def test_the_story_goes_through_every_stage(eager_story: list[list[Event]]) -> None:
    first, second, third = eager_story
    assert list(dict.fromkeys(stage for _seq, stage, *_ in first)) == STAGES
    assert [story[-1][3] for story in eager_story] == ["succeeded", "rejected", "rolled_back"]
    for story in eager_story:
        assert [event[0] for event in story] == list(range(1, len(story) + 1))
        assert all(before[3] == after[2] for before, after in pairwise(story))
    assert "worse beyond chance" in second[-1][4]
    assert third[-1][4] == "a client complained"


def test_django_q2_on_sqlite_tells_the_same_story(eager_story: list[list[Event]], tmp_path: Path) -> None:
    with embedded(tmp_path):
        assert Story(tmp_path).play() == eager_story


def test_celery_on_postgresql_tells_the_same_story(
    eager_story: list[list[Event]], installation: Installation, redis_server: str, tmp_path: Path
) -> None:
    with as_default(installation.app_url), production(tmp_path, installation, redis_server):
        try:
            assert Story(tmp_path).play() == eager_story
        finally:
            installation.empty()
