"""The filters that every page uses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from agency.templatetags.retune import figure, when


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-11-23T17:28:32.381922+00:00", "23 Nov 2026, 17:28 UTC"),
        ("2026-11-23T19:28:00+02:00", "23 Nov 2026, 17:28 UTC"),
        ("2026-11-23", "2026-11-23"),
        ("2026-11-23T17:28:32", "2026-11-23T17:28:32"),
        ({"until": "2026-11-23T17:28:32Z"}, "until 23 Nov 2026, 17:28 UTC"),
    ],
)
def test_a_stored_moment_is_shown_as_a_person_reads_it_where_it_has_its_offset(value: object, shown: str) -> None:
    with timezone.override("UTC"):
        assert figure(value) == shown


def test_no_time_stands_without_its_zone_where_scripts_do_not_run() -> None:
    with timezone.override("Europe/Madrid"):
        assert ">23 Nov 2026, 18:28 CET</time>" in str(when(datetime(2026, 11, 23, 17, 28, tzinfo=UTC)))
