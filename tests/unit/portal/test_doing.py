"""What a run waits for is said in words, not by the name of a job."""

from __future__ import annotations

import pytest

from agency.templatetags.retune import doing
from pipelines.plan import JOBS


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_every_kind_of_job_has_its_words(kind: str) -> None:
    assert doing(f"job {kind}") == doing(f"job {kind}:shop") != f"job {kind}"


def test_a_watched_version_is_not_just_called_monitor() -> None:
    assert doing("monitor") == "the version in service is watched"


@pytest.mark.parametrize("reason", ["canary at 5 %", "job of somebody else", ""])
def test_any_other_reason_stays_as_it_is(reason: str) -> None:
    assert doing(reason) == reason
