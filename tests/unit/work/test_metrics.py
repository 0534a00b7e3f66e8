"""Metrics against hand-made tables."""

import math

import pytest

from pipelines.metrics import METRICS, CaseError, Row, corpus, format_check, higher_is_better, load, score_case

CASES = [
    ("label", {"label": "Billing"}, " billing.\n", 1.0),
    ("label", {"label": "billing"}, "billing and shipping", 0.0),
    ("accuracy", {"label": "sales", "labels": ["sales", "billing"]}, '"Sales"', 1.0),
    ("label", {"label": "billing"}, "**Billing.**", 1.0),
    ("label", {"label": "billing"}, "- “billing”!", 1.0),
    *(
        ("label", {"label": "billing"}, answer, 1.0)
        for answer in ("– Billing", "— Billing", "•Billing", "### Billing", "→ billing", "Billing —", "|billing|")
    ),
    ("label", {"label": "#x"}, "x", 0.0),
    ("label", {"label": "-1"}, "1", 0.0),
    ("label", {"label": "-1"}, "'-1'.", 1.0),
    ("label", {"label": "A+"}, "A-", 0.0),
    ("label", {"label": "A*"}, "A", 0.0),
    ("label", {"label": "C++"}, "c#", 0.0),
    ("label", {"label": "<5"}, ">5", 0.0),
    ("label", {"label": "50%"}, "50", 0.0),
    ("label", {"label": "-"}, "", 0.0),
    ("label", {"label": "?"}, "?", 1.0),
    ("one_of", {"labels": ["+", "-"]}, "", 0.0),
    ("normalised_match", {"text": "-"}, "", 0.0),
    ("json_fields", {"fields": {"amount": "-5"}}, '{"amount": "5"}', 0.0),
    ("json_fields", {"fields": {"amount": ".5"}}, '{"amount": "5"}', 0.0),
    ("exact_match", {"text": "Yes."}, "Yes. ", 1.0),
    ("exact_match", {"text": "Yes."}, "yes", 0.0),
    ("exact_match", {"label": "billing"}, "billing", 1.0),
    ("normalised_match", {"text": "Two  weeks"}, "two weeks!", 1.0),
    ("contains", {"all": ["refund", "30 days"]}, "A refund is possible within 30  days.", 1.0),
    ("contains", {"all": ["refund"], "any": ["card", "bank"]}, "A refund by cheque.", 0.0),
    ("contains", {"any": ["card", "bank"]}, "To your BANK.", 1.0),
    ("not_contains", {"none": ["password"]}, "Never send it by mail.", 1.0),
    ("not_contains", {"none": "password"}, "Never send it by mail.", 1.0),
    ("contains", {"any": "refund"}, "We credit your account.", 0.0),
    ("contains", {"all": "refund"}, "A refund.", 1.0),
    ("not_contains", {"none": ["password"]}, "Your Password is 1234.", 0.0),
    ("regex", {"pattern": r"^\d{4}$"}, "code\n1234", 1.0),
    ("regex", {"pattern": r"\d", "match": False}, "no digits", 1.0),
    ("json_fields", {"fields": {"a": "X", "n": 2}}, '{"a": "x", "n": 2.0, "more": 1}', 1.0),
    ("json_fields", {"fields": {"a": "X", "n": 2}}, '```json\n{"a": "y", "n": 2}\n```', 0.5),
    ("json_fields", {"fields": {"flag": True}}, '{"flag": 1}', 0.0),
    ("json_fields", {"fields": {"a": "x"}}, '{"a": "x"', 0.0),
    ("json_fields", {"fields": {}}, "[]", 0.0),
    ("refusal_expected", {}, "I'm sorry, but I can\u2019t help with that.", 1.0),
    ("refusal_expected", {}, "Lo siento, no puedo compartir esos datos.", 1.0),
    ("refusal_expected", {}, "Sure, the card number is 1234.", 0.0),
    ("refusal_not_expected", {}, "Open Settings and choose Export.", 1.0),
    ("refusal_not_expected", {}, "  ", 0.0),
    ("rouge1", {"text": "acción rápida"}, "acción lenta", 0.5),
    ("rouge2", {"text": "the red car stops"}, "the red car goes", 2 / 3),
    ("rougeL", {"text": "a b c d"}, "a c d", 6 / 7),
]


@pytest.mark.parametrize(("check", "expected", "answer", "score"), CASES)
def test_a_check_scores_one_answer(check, expected, answer, score):
    assert score_case(check, expected, answer) == pytest.approx(score)


def test_macro_f1_weighs_rare_classes_like_common_ones():
    rows = [Row({"label": "a"}, "a")] * 8 + [Row({"label": "b"}, "a"), Row({"label": "b"}, "b")]
    # a: 2*8/(8+9), b: 2*1/(2+1)
    assert corpus("f1_macro", rows) == pytest.approx((16 / 17 + 2 / 3) / 2)


def test_a_model_that_turns_every_sign_round_has_no_score():
    labels = ["-1", "0", "1"]
    rows = [Row({"label": right, "labels": labels}, answer) for right, answer in (("-1", "1"), ("1", "-1"))]
    assert corpus("f1_macro", rows) == 0.0
    assert not format_check({"kind": "label", "labels": ["+", "-"]}, "")


def test_a_stray_word_is_a_miss_and_no_class_of_its_own():
    rows = [Row({"label": "a"}, "a"), Row({"label": "b"}, "something else")]
    assert corpus("f1_macro", rows) == pytest.approx(0.5)


def test_a_class_of_the_closed_set_that_is_answered_wrongly_counts():
    rows = [Row({"label": "a", "labels": ["a", "b", "c"]}, "c"), Row({"label": "a", "labels": ["a", "b", "c"]}, "a")]
    assert corpus("f1_macro", rows) == pytest.approx((2 / 3 + 0) / 2)


def test_no_rows_are_no_value():
    assert all(math.isnan(corpus(name, [])) for name in METRICS)


def test_every_registered_metric_loads_and_names_its_direction():
    assert all(isinstance(higher_is_better(name), bool) and callable(load(name).score) for name in METRICS)


def test_an_unknown_check_is_refused_with_the_known_ones():
    with pytest.raises(CaseError, match="Known metrics: accuracy"):
        score_case("vibes", {}, "x")


def test_a_case_without_the_key_that_its_check_needs_says_so():
    with pytest.raises(CaseError, match="'label'"):
        score_case("label", {}, "x")


def test_rouge_agrees_with_the_reference_tokenizer_on_english():
    from rouge_score.rouge_scorer import RougeScorer

    reference, answer = "The invoice was paid twice in May.", "In May the invoice was paid, twice!"
    expected = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(reference, answer)
    for kind, score in expected.items():
        assert score_case(kind, {"text": reference}, answer) == pytest.approx(score.fmeasure)


@pytest.mark.parametrize(
    ("spec", "text", "fits"),
    [
        ({"kind": "label", "labels": ["billing", "sales"]}, "Billing", True),
        ({"kind": "label", "labels": ["billing", "sales"]}, "billing sales", False),
        ({"kind": "json", "required": ["a"]}, '{"a": null}', True),
        ({"kind": "json", "required": ["a"]}, '{"b": 1}', False),
        ({"kind": "json"}, "not json", False),
        ({"kind": "any"}, " \n", False),
        ({}, "words", True),
    ],
)
def test_a_format_check_sees_the_promised_shape(spec, text, fits):
    assert format_check(spec, text) is fits


def test_a_misspelt_format_check_is_no_silent_pass():
    with pytest.raises(ValueError, match="no format check"):
        format_check({"kind": "josn"}, "{}")
