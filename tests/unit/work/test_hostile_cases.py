"""Cases that nobody should write: each gets a sentence, none gets for ever."""

from __future__ import annotations

import signal
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import metrics
from pipelines.metrics import CaseError, limits, register, score_case, try_case
from pipelines.metrics.case_mean import CaseMean

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "label",
        "labels",
        "text",
        "all",
        "any",
        "none",
        "phrases",
        "pattern",
        "match",
        "number",
        "abs",
        "rel",
        "schema",
        "fields",
    ]
) | st.text(max_size=5)


@given(check=st.sampled_from(sorted(metrics.METRICS)), expected=st.dictionaries(KEYS, JSON), answer=st.text())
@settings(max_examples=300, deadline=None)
def test_whatever_is_expected_a_check_scores_it_or_says_why_not(check, expected, answer):
    try:
        score = score_case(check, expected, answer)
    except CaseError as problem:
        begins = (f"The check '{check}' ", "The pattern ", "The schema ", "This is no JSON Schema")
        assert str(problem).startswith(begins)
    else:
        assert 0.0 <= score <= 1.0


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"(a|aa)+$", r"(.*a){20}$"])
def test_a_pattern_that_would_run_for_ever_elsewhere_answers_at_once(pattern):
    began = time.monotonic()
    score = score_case("regex", {"pattern": pattern}, "a" * 30_000 + "b")

    assert score == 0.0 and time.monotonic() - began < 1


@pytest.mark.parametrize("pattern", [r"(?=a)b", r"(?<!a)b", r"(a)\1", "(", "a" * 2001])
def test_a_pattern_without_a_linear_time_promise_is_refused(pattern):
    with pytest.raises(CaseError, match="pattern"):
        try_case("regex", {"pattern": pattern})


@pytest.mark.parametrize(
    ("schema", "answer", "score"),
    [
        ({"type": "object", "required": ["a"]}, '{"a": 1}', 1.0),
        ({"type": "object", "required": ["a"]}, '{"b": 1}', 0.0),
        ({"type": "array", "items": {"type": "integer"}}, "```json\n[1, 2]\n```", 1.0),
        ({"type": "number"}, "NaN", 0.0),
        ({"type": "string"}, "no quotes", 0.0),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"const": 5}}}, "5", 1.0),
        ({"type": "string", "pattern": "^(a+)+$"}, '"' + "a" * 20_000 + 'b"', 0.0),
        ({"type": "integer"}, "[" * 100_000, 0.0),
    ],
)
def test_an_answer_is_held_against_its_schema(schema, answer, score):
    assert score_case("json_schema", {"schema": schema}, answer) == score


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({"$ref": "https://schemas.example/a.json"}, "Only references inside the schema"),
        ({"anyOf": [{"items": {"$ref": "file:///etc/passwd"}}]}, "Only references inside the schema"),
        ({"$dynamicRef": "other.json"}, "Only references inside the schema"),
        ({"$ref": "#/$defs/missing"}, "no JSON Schema"),
        ({"type": "strong"}, "no JSON Schema"),
        ({"pattern": "(?=a)b"}, "no JSON Schema"),
        ({"description": "x" * 100_001}, "too long"),
        ("not a schema", "no JSON Schema"),
    ],
)
def test_a_schema_that_fetches_or_makes_no_sense_is_refused(schema, sentence):
    with pytest.raises(CaseError, match=sentence):
        try_case("json_schema", {"schema": schema})


@pytest.mark.parametrize(
    ("expected", "answer", "score"),
    [
        ({"number": 12.5, "abs": 0.1}, "It costs 12.58 euros.", 1.0),
        ({"number": 12.5, "abs": 0.1}, "It costs 12.7 euros.", 0.0),
        ({"number": 1_234_000, "rel": 0.01}, "about 1,230,000", 1.0),
        ({"number": -3}, "-3", 1.0),
        ({"number": -5}, "\u22125 degrees", 1.0),
        ({"number": 3}, "model v3 says nothing", 0.0),
        ({"number": 2e3}, "2e3", 1.0),
        ({"number": 1}, "no number", 0.0),
        ({"number": 5}, "5, not 6", 1.0),
    ],
)
def test_a_number_may_be_off_by_its_tolerance(expected, answer, score):
    assert score_case("numeric", expected, answer) == score


@pytest.mark.parametrize("expected", [{"number": "x"}, {"number": float("nan")}, {"number": 1, "abs": -1}, {}])
def test_a_number_that_cannot_be_compared_is_refused(expected):
    with pytest.raises(CaseError, match="numeric"):
        try_case("numeric", expected)


def _for_ever(expected, answer):
    while True:
        pass


for_ever = CaseMean(_for_ever)
shouting = CaseMean(lambda expected, answer: float(answer.isupper()))


@pytest.fixture
def own_metrics():
    register({"shouting": f"{__name__}:shouting", "for_ever": f"{__name__}:for_ever"})
    yield
    register({})


def test_a_metric_of_the_installation_scores_like_any_other(own_metrics):
    assert score_case("shouting", {}, "HELLO") == 1.0
    assert score_case("shouting", {}, "hello") == 0.0


def test_a_metric_that_never_ends_is_stopped(own_metrics, monkeypatch):
    monkeypatch.setattr(metrics, "CASE_S", 0.2)

    with pytest.raises(CaseError, match="took longer"):
        score_case("for_ever", {}, "x")


def test_a_busy_machine_is_no_fault_of_a_case_and_waiting_for_ever_is():
    with limits.at_most(0.05):
        time.sleep(0.2)  # As if others had the processor.

    with pytest.raises(limits.TookTooLong), limits.at_most(0.01):
        time.sleep(2)


def test_a_limit_leaves_no_alarm_behind():
    with limits.at_most(0.05):
        pass
    time.sleep(0.08)

    assert [signal.getitimer(timer) for timer, _number, _times in limits.TIMERS] == [(0.0, 0.0)] * 2


@pytest.mark.parametrize("own", [{"accuracy": "x:y"}, {"mine": "no colon"}, {"mine": ":y"}])
def test_a_metric_that_hides_a_built_in_one_or_has_no_address_is_refused(own):
    with pytest.raises(ValueError):
        register(own)
