"""Metrics beside the libraries that everybody compares with."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.metrics import Row, corpus, score_case
from pipelines.metrics.labels import OTHER, confusion, per_label

CLOSED = ["billing", "delivery", "returns", "never used"]
WORDS = st.sampled_from(
    [
        "the",
        "invoice",
        "was",
        "paid",
        "twice",
        "in",
        "may",
        "and",
        "parcel",
        "never",
        "arrived",
        "Where",
        "is",
        "it",
        ",",
        ".",
        "¿dónde",
        "está?",
    ]
)
TEXT = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
LABELLED = st.lists(
    st.tuples(st.sampled_from(CLOSED[:3]), st.sampled_from([*CLOSED, "a stray word"])), min_size=1, max_size=40
)


def rows_of(pairs):
    return [Row({"label": right, "labels": CLOSED}, answered) for right, answered in pairs]


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@given(pairs=LABELLED)
@settings(max_examples=60, deadline=None)
def test_f1_is_that_of_scikit_learn(average, pairs):
    from sklearn.metrics import f1_score

    right, answered = [p[0] for p in pairs], [p[1] for p in pairs]
    used = sorted(({*right} | {*answered}) & {*CLOSED})
    theirs = f1_score(right, answered, labels=used, average=average, zero_division=0)

    assert corpus(f"f1_{average}", rows_of(pairs)) == pytest.approx(theirs)


@given(pairs=LABELLED)
@settings(max_examples=60, deadline=None)
def test_precision_and_recall_of_each_label_and_the_matrix_are_those_of_scikit_learn(pairs):
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    counts = confusion(rows_of(pairs))
    scores = per_label(counts)
    names = [one.label for one in scores]
    right, answered = [p[0] for p in pairs], [p[1] for p in pairs]
    precision, recall, f1, support = precision_recall_fscore_support(right, answered, labels=names, zero_division=0)
    matrix = confusion_matrix(right, answered, labels=names)

    assert [one.precision for one in scores] == pytest.approx(list(precision))
    assert [one.recall for one in scores] == pytest.approx(list(recall))
    assert [one.f1 for one in scores] == pytest.approx(list(f1))
    assert [one.support for one in scores] == list(support)
    assert [[counts.get((a, b), 0) for b in names] for a in names] == matrix.tolist()
    assert sum(n for (_, given_), n in counts.items() if given_ == OTHER) == answered.count("a stray word")


@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_bleu_and_chrf_are_those_of_sacrebleu(pairs):
    from sacrebleu import corpus_bleu, corpus_chrf, sentence_bleu, sentence_chrf

    wanted, answered = [p[0] for p in pairs], [p[1] for p in pairs]
    rows = [Row({"text": text}, answer) for text, answer in pairs]

    assert corpus("bleu", rows) == pytest.approx(min(corpus_bleu(answered, [wanted]).score / 100, 1))
    assert corpus("chrf", rows) == pytest.approx(min(corpus_chrf(answered, [wanted]).score / 100, 1))
    first = rows[0]
    theirs = sentence_bleu(first.answer, [wanted[0]], use_effective_order=True).score / 100
    assert score_case("bleu", first.expected, first.answer) == pytest.approx(min(theirs, 1))
    assert score_case("chrf", first.expected, first.answer) == pytest.approx(
        min(sentence_chrf(first.answer, [wanted[0]]).score / 100, 1)
    )


@given(reference=TEXT, answer=TEXT)
@settings(max_examples=60, deadline=None)
def test_rouge_is_that_of_rouge_score_on_words_of_ascii(reference, answer):
    from rouge_score.rouge_scorer import RougeScorer

    reference, answer = (text.replace("¿dónde", "where").replace("está?", "is") for text in (reference, answer))
    expected = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(reference, answer)

    for kind, theirs in expected.items():
        assert score_case(kind, {"text": reference}, answer) == pytest.approx(theirs.fmeasure)
