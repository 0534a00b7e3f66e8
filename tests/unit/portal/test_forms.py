"""Values as people write them, and a schedule as they read it."""

from __future__ import annotations

from datetime import time

import pytest
from django.core.exceptions import ValidationError

from agency.portal.forms.fields import DurationField, LinesField, PercentField, spell
from agency.portal.schedule_words import in_words
from tenants.pipeline_settings import Schedule


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("48 h", 172_800), ("30 min", 1800), ("1 d 12 h", 129_600), ("90", 90), ("1.5h", 5400), ("5 s", 5)],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert DurationField().clean(text) == seconds


@pytest.mark.parametrize("text", ["soon", "4 parsecs", "2 h or so", "-3 h"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValidationError, match="48 h"):
        DurationField().clean(text)


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 5400, 86_400, 172_800, 90_061])
def test_a_spelled_duration_reads_back_as_itself(seconds: int) -> None:
    assert DurationField().clean(spell(seconds)) == seconds


def test_a_share_is_shown_in_percent_and_kept_as_a_share() -> None:
    field = PercentField()

    assert field.prepare_value(0.07) == 7.0
    assert field.clean("7") == pytest.approx(0.07)


def test_lines_and_commas_both_separate() -> None:
    assert LinesField(required=False).clean("billing\n delivery, returns\n\n") == ["billing", "delivery", "returns"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=MONTHLY;BYDAY=+1TU", "First Tuesday of each month, 04:00, Europe/Madrid"),
        ("FREQ=MONTHLY;BYDAY=-1FR", "Last Friday of each month, 04:00, Europe/Madrid"),
        ("FREQ=MONTHLY;BYMONTHDAY=15", "Day 15 of each month, 04:00, Europe/Madrid"),
        ("FREQ=WEEKLY;BYDAY=MO,TH", "Monday and Thursday each week, 04:00, Europe/Madrid"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=SA", "Saturday every 2 weeks, 04:00, Europe/Madrid"),
        ("FREQ=DAILY", "Each day, 04:00, Europe/Madrid"),
        ("FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2", "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2, 04:00, Europe/Madrid"),
    ],
)
def test_a_rule_is_echoed_in_plain_words(rule: str, words: str) -> None:
    assert in_words(Schedule(rule=rule, at=time(4)), "Europe/Madrid") == words
