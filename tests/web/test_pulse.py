"""The ticker's pulse: told by a file, and given by whole ticks only."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from agency.health import pulse
from agency.health.beside import Beside, guarded
from agency.management.commands.ticker import signed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR = tmp_path


def test_without_a_tick_the_command_fails_and_says_so() -> None:
    with pytest.raises(CommandError, match="No ticker of this machine has ticked"):
        call_command("ticker", "--alive")


def test_a_tick_that_was_whole_is_told_and_an_old_one_is_not_enough(tmp_path: Path) -> None:
    said = StringIO()
    guarded(lambda: signed(3))
    call_command("ticker", "--alive", stdout=said)
    assert "ticked 0 s ago" in said.getvalue()

    file = next((tmp_path / "ticks").iterdir())
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - pulse.LATE_S - 1))
    with pytest.raises(CommandError, match="for 61 s"):
        call_command("ticker", "--alive")


def test_a_tick_that_failed_gives_no_pulse() -> None:
    def lost() -> int:
        raise ConnectionError("the database is away")

    guarded(lambda: signed(lost()))
    assert pulse.age_s() == float("inf")


def test_a_sweep_that_takes_long_is_not_begun_again_and_holds_up_nobody(clock: Any) -> None:
    go_on, begun = threading.Event(), []

    def work() -> None:
        begun.append(1)
        go_on.wait(20)

    sweep = Beside("sweep", timedelta(hours=1), work)
    first, second = sweep.begin_if_due(clock.now), sweep.begin_if_due(clock.advance(hours=2))
    go_on.set()
    sweep.thread.join(10)
    third = sweep.begin_if_due(clock.now)
    sweep.thread.join(10)

    assert (first, second, third, len(begun)) == (True, False, True, 2)
