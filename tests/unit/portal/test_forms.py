"""Values as people write them, and a schedule as they read it."""

from __future__ import annotations

from datetime import time

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from agency.portal.forms.fields import (
    AddressesField,
    DurationField,
    LinesField,
    PercentField,
    TextsField,
    WallTimeField,
    spell,
)
from agency.portal.schedule_words import in_words
from tenants.pipeline_settings import Schedule


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("48 h", 172_800), ("30 min", 1800), ("1 d 12 h", 129_600), ("90", 90), ("1.5h", 5400), ("5 s", 5)],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert DurationField().clean(text) == seconds


@pytest.mark.parametrize("text", ["soon", "4 parsecs", "2 h or so", "-3 h", "9" * 5000, "9" * 400 + " d"])
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


def test_a_line_is_one_value_and_addresses_stand_between_commas_too() -> None:
    assert LinesField(required=False).clean("billing\r\n delivery, returns\r\n\n") == ["billing", "delivery, returns"]
    assert AddressesField(required=False).clean("a@north.example, b@north.example\r\nc@north.example") == [
        f"{name}@north.example" for name in "abc"
    ]


@pytest.mark.parametrize("texts", [["\n", "\nUser:"], ["<|im_end|>", "User:"], ['"', " a ", "a, b", "\u2028", "ä"]])
def test_texts_that_end_an_answer_are_edited_without_being_changed(texts: list[str]) -> None:
    field = TextsField(required=False)

    assert field.clean(field.prepare_value(texts).replace("\n", "\r\n")) == texts


@pytest.mark.parametrize("line", ['"', '"a" "b"', '""', '"\\x"'])
def test_a_text_in_quotes_that_cannot_be_read_is_refused(line: str) -> None:
    with pytest.raises(ValidationError, match="no text in quotes"):
        TextsField(required=False).clean(line)


@pytest.mark.parametrize(("zone", "text"), [("Asia/Tokyo", "0001-01-01T00:00"), ("America/Lima", "9999-12-31T23:00")])
def test_a_time_that_utc_does_not_reach_is_refused(zone: str, text: str) -> None:
    with timezone.override(zone), pytest.raises(ValidationError, match="valid date"):
        WallTimeField().clean(text)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=MONTHLY;BYDAY=+1TU", "First Tuesday of each month, 04:00, Europe/Madrid"),
        ("FREQ=MONTHLY;BYDAY=-1FR", "Last Friday of each month, 04:00, Europe/Madrid"),
        ("FREQ=MONTHLY;BYMONTHDAY=15", "Day 15 of each month, 04:00, Europe/Madrid"),
        ("FREQ=WEEKLY;BYDAY=MO,TH", "Monday and Thursday each week, 04:00, Europe/Madrid"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=SA", "Saturday every 2 weeks, 04:00, Europe/Madrid"),
        ("FREQ=DAILY", "Each day, 04:00, Europe/Madrid"),
        ("FREQ=YEARLY;BYDAY=1MO", "First Monday of each year, 04:00, Europe/Madrid"),
        ("FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2", "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2, 04:00, Europe/Madrid"),
    ],
)
def test_a_rule_is_echoed_in_plain_words(rule: str, words: str) -> None:
    assert in_words(Schedule(rule=rule, at=time(4)), "Europe/Madrid") == words


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=MONTHLY;BYDAY=-2FR",
        "FREQ=MONTHLY;BYDAY=FR",
        "FREQ=MONTHLY;BYDAY=1MO,FR",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=YEARLY;BYMONTHDAY=1",
        "FREQ=YEARLY;BYDAY=MO",
        "FREQ=YEARLY;BYDAY=20MO",
        "FREQ=DAILY;BYDAY=MO,TU",
        "FREQ=DAILY;BYMONTHDAY=1",
        "FREQ=WEEKLY;BYMONTHDAY=13",
        "FREQ=WEEKLY;BYDAY=+1MO",
    ],
)
def test_a_rule_that_means_more_than_its_words_is_shown_as_it_is_written(rule: str) -> None:
    assert in_words(Schedule(rule=rule, at=time(4)), "Europe/Madrid") == f"{rule}, 04:00, Europe/Madrid"
