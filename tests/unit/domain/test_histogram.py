"""The latency histogram: near the true quantile, and merging loses nothing."""

import json

import numpy as np
import pytest

from pipelines.domain.histogram import Histogram, bucket_of

TIMES = np.random.default_rng(1).lognormal(5, 0.8, 5_000)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.95, 0.99, 1.0])
def test_quantiles_are_within_2_percent(share: float) -> None:
    truth = np.quantile(TIMES, share, method="inverted_cdf")
    assert Histogram.of(TIMES.tolist()).quantile(share) == pytest.approx(truth, rel=0.02)


def test_parts_merge_into_the_whole_through_json() -> None:
    parts = [Histogram.of(part.tolist()) for part in np.array_split(TIMES, 7)]
    merged = Histogram()
    for part in parts:
        merged = merged + Histogram.from_json(json.loads(json.dumps(part.to_json())))
    assert merged.counts == Histogram.of(TIMES.tolist()).counts
    assert merged.total == 5_000


def test_an_empty_histogram_has_no_quantile() -> None:
    assert Histogram().quantile(0.95) is None


def test_counts_above_a_limit() -> None:
    assert Histogram.of([10.0, 100.0, 1_000.0]).count_above(100.0) == 1


@pytest.mark.parametrize("latency", [-1.0, float("nan"), float("inf")])
def test_what_is_no_time_is_refused(latency: float) -> None:
    with pytest.raises(ValueError, match="no time"):
        bucket_of(latency)


def test_a_time_of_zero_counts() -> None:
    assert Histogram.of([0.0, 0.0]).total == 2
