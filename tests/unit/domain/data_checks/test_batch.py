"""Labels, quality and the course of a batch."""

from collections import Counter

import numpy as np
import pytest

from pipelines.domain.data_checks import (
    BatchCounts,
    Course,
    Example,
    Layout,
    OutputFormat,
    QualitySettings,
    compare_labels,
    decide_batch,
    score_quality,
)
from pipelines.domain.data_checks.distribution import Distribution, permutation_p, total_variation


def drawn(n: int, labels: int, seed: int) -> Counter[str]:
    return Counter(str(label) for label in np.random.default_rng(seed).integers(0, labels, n))


def test_total_variation_is_half_the_sum_of_differences() -> None:
    assert total_variation({"a": 1, "b": 1}, {"a": 1}) == pytest.approx(0.5)
    assert total_variation({"a": 5}, {"b": 7}) == 1.0
    assert total_variation({"a": 2, "b": 2}, {"a": 50, "b": 50}) == 0.0


def test_a_hundred_rows_over_77_labels_exceed_the_limit_by_noise_and_are_let_through() -> None:
    existing = drawn(10_000, 77, 1)
    held, varied = 0, []
    for seed in range(2, 12):
        found = compare_labels(drawn(100, 77, seed), existing)
        varied.append(found.variation or 0)
        held += bool(found.breaches)
    assert np.mean(varied) == pytest.approx(0.345, abs=0.03)
    assert held == 0


def test_a_real_shift_is_found_with_its_numbers() -> None:
    found = compare_labels({"refund": 80, "card": 20}, {"refund": 200, "card": 800})
    assert found.breaches == ("label shift: total variation 0.60 > 0.30, p=0.0001 <= 0.01",)


def test_a_shift_of_a_few_rows_is_not_beyond_chance() -> None:
    assert compare_labels({"a": 3, "b": 1}, {"a": 50, "b": 50}).breaches == ()


def test_the_permutation_p_is_seeded() -> None:
    new, existing = drawn(100, 5, 3), drawn(400, 5, 4)
    assert permutation_p(new, existing) == permutation_p(new, existing)
    assert 0.01 < permutation_p(new, existing) <= 1.0


def test_one_label_alone_and_new_labels_hold() -> None:
    found = compare_labels({"a": 91, "zebra": 9}, {"a": 900, "b": 100})
    assert found.breaches == ("one label: 'a' has 91 % of the new rows, at most 90 %", "new labels: 'zebra'")


def test_the_first_version_may_bring_labels() -> None:
    new, existing = {"a": 45, "b": 45, "c": 10}, {"a": 50, "b": 50}
    assert compare_labels(new, {}, is_first_version=True).breaches == ()
    assert compare_labels(new, existing, is_first_version=True).breaches == ()
    assert compare_labels(new, existing).breaches == ("new labels: 'c'",)


def test_a_first_field_that_is_free_text_is_no_label() -> None:
    existing, new = (Counter(f"INV-{n}" for n in numbers) for numbers in (range(50_000), range(50_000, 70_000)))
    assert compare_labels(new, existing) == Distribution(None, None, ())


def test_answers_out_of_a_wrong_column_are_no_free_text() -> None:
    existing, new = dict.fromkeys("abcde", 60), {f"text {n}": 1 for n in range(400)}
    shift, unknown = compare_labels(new, existing).breaches
    assert shift.startswith("label shift: total variation 1.00") and unknown.endswith("and 395 more")


def test_of_very_many_labels_the_rare_ones_count_as_one() -> None:
    existing, new = drawn(200_000, 2_000, 1), drawn(20_000, 2_000, 2)
    assert compare_labels(new, existing).breaches == ()
    grown = new + Counter({"0": 20_000})
    assert compare_labels(grown, existing).breaches[0].startswith("label shift: total variation 0.5")


def test_an_empty_batch_breaches_nothing() -> None:
    assert compare_labels({}, {"a": 1}).breaches == ()


@pytest.mark.parametrize(
    ("counts", "breaches", "course"),
    [
        (BatchCounts(500, 25, 475), (), Course.PROCEED),
        (BatchCounts(500, 26, 474), (), Course.STOP),
        (BatchCounts(500, 26, 474), ("label shift",), Course.STOP),
        (BatchCounts(500, 26, 10), ("label shift",), Course.STOP),
        (BatchCounts(500, 0, 99), ("label shift",), Course.SKIP),
        (BatchCounts(500, 0, 100), ("label shift",), Course.HOLD),
        (BatchCounts(0, 0, 0), (), Course.SKIP),
    ],
)
def test_stop_beats_skip_beats_hold(counts: BatchCounts, breaches: tuple[str, ...], course: Course) -> None:
    assert decide_batch(counts, breaches).course is course


def test_a_batch_says_every_reason() -> None:
    decision = decide_batch(BatchCounts(200, 20, 80), ("label shift",))
    assert decision.reasons == (
        "20 of 200 rows are malformed (10.0 %), at most 5 %",
        "80 of 100 new examples: 20 are missing",
        "label shift",
    )


def row(answer: str) -> Example:
    return Example(Layout.COMPLETION, (("user", "question"), ("assistant", answer)))


def part(name: str, answer: str, rating: float | None = None, **given: object) -> float | None:
    settings = QualitySettings(weights={name: 1.0}, **given)  # type: ignore[arg-type]
    return score_quality(row(answer), settings, rating).parts.get(name)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (part("length", "one two three", words=(6, 10)), 0.5),
        (part("length", "a b c d", words=(1, 2)), 0.5),
        (part("format", "card", format=OutputFormat.LABEL, labels=frozenset({"card"})), 1.0),
        (part("format", "cards", format=OutputFormat.LABEL, labels=frozenset({"card"})), 0.0),
        (part("format", '{"a": 1}', format=OutputFormat.JSON, json_fields=frozenset({"a", "b"})), 0.5),
        (part("format", "[1]", format=OutputFormat.JSON), 0.0),
        (part("format", "{", format=OutputFormat.JSON), 0.0),
        (part("refusal", "I\u2019m sorry, but I cannot help with that."), 0.0),
        (part("refusal", "Lo siento, no puedo ayudar con eso."), 0.0),
        (part("refusal", "You can open a card in the app."), 1.0),
        (part("rating", "x", rating=0.25), 0.25),
        (part("rating", "x"), None),
        (part("language", "the card is in the post and on its way to you", language="en"), 1.0),
        (part("language", "la tarjeta est\u00e1 en el correo y llegar\u00e1 para el lunes", language="en"), 0.0),
        (part("language", "card_arrival", language="en"), None),
    ],
)
def test_the_parts_of_quality(found: float | None, expected: float | None) -> None:
    assert found == expected


def test_a_score_is_the_weighted_mean_of_the_parts_that_are_known() -> None:
    settings = QualitySettings(0.6, {"format": 1.0, "rating": 3.0}, format=OutputFormat.JSON)
    rated, unrated = score_quality(row("no json"), settings, 1.0), score_quality(row("no json"), settings)
    assert (rated.score, rated.is_enough) == (0.75, True)
    assert (unrated.score, unrated.is_enough) == (0.0, False)


@pytest.mark.parametrize("weights", [{}, {"charm": 1.0}, {"length": -1.0}, {"length": 0.0}])
def test_weights_that_cannot_work_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        QualitySettings(weights=weights)
