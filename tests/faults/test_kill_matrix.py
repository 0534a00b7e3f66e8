"""Workers of both engines are killed by kill -9 at every point of every stage and job; what lands, lands once."""

from __future__ import annotations

import statistics
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils.timezone import now

from pipelines import plan
from pipelines.ticker import Ticker
from tests.engines.processes import CELERY
from tests.engines.story import Event
from tests.engines.whole_way import Landed, WholeWay, landed, mails, play
from tests.faults.test_real_workers import Start, effects
from tests.flow import fake_jobs

LANES = 4  # More than kills at one job or stage, for each row dies at most once there.
TIMEOUT_S = 240.0
TAKEOVER_S = 5.0  # Beyond the lease.
WITH_HALVES = ("train", "build", "evaluate", "push")
STAGES = [f"{word}:{stage.name}" for stage in plan.PLAN.stages for word in ("claimed", "amid", "settling")]
# Jobs that this story never needs: nobody judges or measures hops, no bodies are kept, what comes back is loaded and
# was heard out, no way back is rehearsed, applications ask the gateway, and two versions are too few to retire one.
ELSEWHERE = ("hops", "judge", "replay", "bring", "last", "drill", "probe", "retire", "recall")
KINDS = [kind for kind in plan.JOBS if kind not in ELSEWHERE]
HEAVY = [f"{word}:{kind}" for kind in KINDS for word in ("job-claimed", "job-amid", "job-settling")]
HALVES = [f"job-half:{kind}" for kind in WITH_HALVES]
ROLLOUT = ["flipped:canary", "flipped:promotion", "flipped:rollback", "stopping:rolled_back"]
MAILS = ["notice-claimed:held", "notice-sent:promoted"]
POINTS = STAGES + HEAVY + HALVES + ROLLOUT + MAILS
# Killed after its work and before it was written down: done again, though it lands once.
REDONE = {"train": 1, "build": 1}


Left = tuple[list[list[Event]], Landed]


@pytest.fixture(scope="module")
def kept() -> dict[str, Left]:
    return {}


@pytest.fixture
def unkilled(
    kept: dict[str, Left],
    transactional_db: None,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Left:
    """What the same way leaves in one process that nobody kills; played once for all tests."""
    if "left" not in kept:
        kept["left"] = _played_by_one(tmp_path_factory.mktemp("unkilled"), monkeypatch)
    return kept["left"]


def _played_by_one(var: Path, monkeypatch: pytest.MonkeyPatch) -> Left:
    with monkeypatch.context() as patch:
        for kind, handler in fake_jobs.ON_HOSTS.items():
            patch.setitem(plan.JOBS, kind, handler)
        for name, folder in {"VAR": "", "ARTIFACTS": "artifacts", "EMAIL_FILE_PATH": "mail"}.items():
            patch.setattr(django_settings, name, var / folder)
        way = WholeWay(var, lambda: Ticker().tick(now()))
        play([way], TIMEOUT_S)
        return way.told, landed(way)


def test_the_unkilled_way_lands_what_two_versions_must(unkilled: Left) -> None:
    (first, second), left = unkilled
    assert (first[-1][3], second[-1][3]) == ("succeeded", "rolled_back")
    assert Counter(effect for effect, *_ in left.on_host) == {"blob": 2, "create": 2, "copy": 3}
    assert [source for effect, _name, source in left.on_host if effect == "copy"] == [
        "support:v1",
        "support:v2",
        "support:v1",
    ]
    assert (left.alias, left.left_over) == ("v1", 0)
    assert left.notices == {"held": 2, "promoted": 2, "rolled_back": 1}


def decided(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(stage, to, reason) for _seq, stage, _from, to, reason in events if to != "waiting"]


def waits(events: list[Event]) -> set[tuple[str, str]]:
    """A worker that dies with "wait for the job" in hand leaves none: the next one finds the job through."""
    return {(stage, reason) for _seq, stage, _from, to, reason in events if to == "waiting"}


def test_killed_at_every_point_each_effect_lands_once(
    unkilled: Left, workers_with: Start, tmp_path: Path, settings: Any
) -> None:
    told, left = unkilled
    settings.VAR = tmp_path
    with workers_with(RETUNE_TEST_KILL=",".join(POINTS), RETUNE_TEST_HOSTS="fake") as workers:
        if settings.ENGINE == "celery":
            # Celery may notice a killed child five seconds late; meanwhile another machine has to do.
            workers.start("more", [*CELERY, "-c", "2", "-Q", "default,cpu,gpu,push", "-n", "more@%h"])
        ways = [WholeWay(tmp_path) for _lane in range(LANES)]
        play(ways, TIMEOUT_S)
        assert {path.name for path in (tmp_path / "killed").iterdir()} == set(POINTS)
        for way in ways:
            for mine, unharmed in zip(way.told, told, strict=True):
                assert decided(mine) == decided(unharmed)
                assert waits(mine) <= waits(unharmed)
                assert [event[0] for event in mine] == list(range(1, len(mine) + 1))
                assert all(earlier[3] == later[2] for earlier, later in pairwise(mine))
            assert landed(way) == left
    assert effects(tmp_path) == {kind: 2 * LANES + again for kind, again in REDONE.items()}
    sent = mails()
    assert len(sent) == LANES * left.notices.total()
    assert sorted(sent.values())[-2:] == [1, 2]  # Sent and not written down: sent again under the same Message-ID.
    late = [float(line) for line in (tmp_path / "takeovers.log").read_text().split()]
    assert len(late) >= len(STAGES + HEAVY + HALVES)
    assert statistics.median(late) < TAKEOVER_S, f"seconds after the lease's end: {sorted(late)}"
