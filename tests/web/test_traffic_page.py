"""The traffic of a pipeline: what was asked, by the hour or day, by version and arm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.utils import timezone

from pipelines.domain.histogram import Histogram
from pipelines.models import Traffic
from pipelines.rollups import roll_up_all
from tests import factories


@pytest.fixture
def asked(acorn: Any) -> Any:
    pipeline = factories.make_pipeline(acorn)
    version = factories.make_production(pipeline).model_version
    now = timezone.now().replace(second=0, microsecond=0)
    with factories.inside(acorn):
        for hours, arm, requests, errors in (
            (0, "production", 40, 2),
            (3, "candidate", 10, 0),
            (24 * 20, "production", 7, 0),
        ):
            times = {
                "latency": Histogram.of([120.0] * requests).to_json(),
                "first_token": Histogram.of([30.0]).to_json(),
            }
            counted = {"requests": requests, "errors": errors, "input_tokens": 11 * requests, "output_tokens": requests}
            minute = now - timedelta(hours=hours)
            row = Traffic.of(
                version, pipeline=pipeline, version=version, host="shop", arm=arm, minute=minute, **counted, **times
            )
            row.save()
    return pipeline


def page(browser: Browser, window: str = "") -> str:
    return browser.get(f"/c/acorn/support/traffic/?window={window}").content.decode()


def test_a_day_shows_both_arms_and_a_month_the_older_days_too(owner: Browser, asked: Any, settings: Any) -> None:
    settings.TRAFFIC_MINUTE_DAYS = 30
    assert "Nothing was asked" in page(owner), "no hour holds the minutes yet"
    roll_up_all(timezone.now())
    day, month = page(owner), page(owner, "month")
    assert day.count('<td class="num">40</td>') == 1 and day.count('<td class="num">10</td>') == 1
    median = round(Histogram.of([120.0]).quantile(0.5) or 0)
    assert f"{median} / {median}" in day
    assert day.count("<rect") == 3, "two bars, one of them with errors"
    assert month.count('<td class="num">47</td>') == 1
