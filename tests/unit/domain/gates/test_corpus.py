"""Metrics of whole sets: p, interval and verdict of macro-F1, against scipy, scikit-learn and the plain way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from pipelines.domain.gates import Evidence, GateKind, GateSpec, Rule, judge
from pipelines.domain.gates.corpus import CorpusTable, corpus_score
from pipelines.domain.paired import randomisation_p
from pipelines.domain.verdicts import Verdict
from pipelines.metrics import Row
from pipelines.metrics.labels import F1, f1_macro, f1_micro, f1_weighted
from pipelines.metrics.overlap import Overlap, bleu, chrf
from pipelines.records.tallies import corpus_table, f1_counts, f1_figure

LABELS = ("billing", "delivery", "returns", "stock")
GATE = GateSpec(GateKind.TASK, "f1_macro", Rule.AT_LEAST_PRODUCTION)


def answers(right: list[str], share_right: float, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [r if rng.random() < share_right else str(rng.choice(LABELS)) for r in right]


def expected(n: int) -> list[str]:
    return [LABELS[i % 7 % 4] for i in range(n)]


def table(right: list[str], candidate: list[str], production: list[str] | None) -> CorpusTable:
    found = corpus_table("f1_macro", [rows(right, given) for given in (candidate, production) if given is not None])
    assert found is not None
    return found


def rows(right: list[str], given: list[str]) -> list[Row]:
    return [Row({"label": r, "labels": list(LABELS)}, g) for r, g in zip(right, given, strict=True)]


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_f1_out_of_sums_is_that_of_scikit_learn(average: str) -> None:
    right = expected(120)
    given = answers(right, 0.6, 4)

    found = f1_figure(average)(f1_counts(list(zip(right, given, strict=True)), LABELS).sum(axis=0))  # type: ignore[arg-type]

    assert float(found) == pytest.approx(f1_score(right, given, average=average))


def test_a_word_outside_the_closed_set_is_a_miss_and_no_class() -> None:
    right = expected(60)
    given = ["nonsense" if i < 10 else r for i, r in enumerate(right)]

    score = corpus_score(table(right, given, right))

    assert score.candidate == pytest.approx(f1_macro.corpus(rows(right, given)))
    assert score.production == 1.0


@pytest.mark.parametrize("metric", [f1_macro, f1_micro, f1_weighted], ids=["macro", "micro", "weighted"])
def test_what_the_gate_judges_is_the_scorecards_figure_without_a_closed_set_and_in_mixed_spellings(metric: F1) -> None:
    right = ["a"] * 90 + ["b"] * 6 + ["Refund", "refund"] * 2
    other = {"a": "b", "b": "a", "Refund": "a", "refund": "b"}
    arms = [
        [Row({"label": r}, other[r] if n in wrong else r.upper()) for n, r in enumerate(right)]
        for wrong in ({*range(20), 95, 99}, {*range(5), 90, 91, 92})
    ]

    found = corpus_table(f"f1_{metric.average}", arms)

    assert found is not None
    score = corpus_score(found)
    assert score.candidate == pytest.approx(metric.corpus(arms[0]))
    assert score.production == pytest.approx(metric.corpus(arms[1]))


def test_the_p_of_swapping_agrees_with_scipys_permutation_test() -> None:
    right = expected(60)
    candidate, production = answers(right, 0.55, 1), answers(right, 0.75, 2)

    def difference(one: np.ndarray, two: np.ndarray) -> float:
        return float(f1_score(right, one, average="macro") - f1_score(right, two, average="macro"))

    oracle = stats.permutation_test(
        (np.array(candidate), np.array(production)),
        difference,
        permutation_type="samples",
        alternative="less",
        vectorized=False,
        n_resamples=400,
        rng=3,
    )

    assert corpus_score(table(right, candidate, production)).p_worse == pytest.approx(oracle.pvalue, abs=0.045)


def test_the_fast_p_is_the_plain_one() -> None:
    right = expected(80)
    candidate, production = answers(right, 0.6, 5), answers(right, 0.7, 6)

    plain = randomisation_p(
        rows(right, candidate), rows(right, production), lambda found: f1_macro.corpus(list(found)), flips=1_500
    )

    assert corpus_score(table(right, candidate, production)).p_worse == pytest.approx(plain, abs=0.03)


def test_the_interval_agrees_with_scipys_bootstrap() -> None:
    right = expected(150)
    candidate, production = answers(right, 0.6, 7), answers(right, 0.8, 8)
    score = corpus_score(table(right, candidate, production))

    def drop(index: np.ndarray) -> float:
        r, c, p = (np.array(values)[index.astype(int)] for values in (right, candidate, production))
        return float(f1_score(r, p, average="macro") - f1_score(r, c, average="macro"))

    oracle = stats.bootstrap(
        (np.arange(150),), drop, vectorized=False, n_resamples=500, method="percentile", confidence_level=0.9, rng=9
    ).confidence_interval

    assert (score.drop_low, score.drop_high) == pytest.approx(tuple(oracle), abs=0.02)


def test_macro_f1_is_judged_with_its_own_p_and_says_what_would_settle_it() -> None:
    right = expected(200)
    production = answers(right, 0.9, 1)
    same, below, worse = (
        production,
        [LABELS[0], *production[1:100], LABELS[1], *production[101:]],
        answers(right, 0.6, 3),
    )

    def said(candidate: list[str]) -> tuple[Verdict, str]:
        score = corpus_score(table(right, candidate, production))
        found = judge(GATE, Evidence(corpus={"f1_macro": score}))
        return found.verdict, found.sentence

    assert said(same)[0] is Verdict.PASSED
    assert said(worse)[0] is Verdict.FAILED and "p<0.001: worse beyond chance" in said(worse)[1]
    assert said(below)[0] is Verdict.INCONCLUSIVE and "more cases" in said(below)[1]


@pytest.mark.parametrize("metric", [bleu, chrf])
def test_overlap_out_of_sums_is_sacrebleus_corpus_score(metric: Overlap) -> None:
    texts = ["your parcel leaves the depot tonight", "we send the money back within five days", "a short one"]
    given = ["your parcel left the depot tonight", "the money is sent back within five working days", "short"]
    arms = [[Row({"text": t}, g) for t, g in zip(texts, said, strict=True)] for said in (given, texts)]

    found = corpus_table(metric.kind, arms)

    assert found is not None and found.production is not None
    assert float(found.figure(found.candidate.sum(axis=0))) == pytest.approx(metric.corpus(arms[0]))
    assert float(found.figure(found.production.sum(axis=0))) == pytest.approx(1.0)
    assert corpus_score(found).p_worse is not None


def test_no_production_and_no_cases_are_no_numbers() -> None:
    right = expected(20)
    assert corpus_score(table(right, right, None)).production is None
    empty = CorpusTable(np.zeros((0, 12)), np.zeros((0, 12)), f1_figure())
    assert math.isnan(corpus_score(empty).candidate)
    assert judge(GATE, Evidence(corpus={"f1_macro": corpus_score(empty)})).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("metric", ["f1_macro", "bleu", "chrf"])
def test_an_empty_set_is_inconclusive_with_and_without_production(metric: str) -> None:
    for arms in ([[], []], [[]]):
        found = corpus_table(metric, arms)
        assert found is not None
        score = corpus_score(found)
        assert (math.isnan(score.candidate), score.production is None, score.n) == (True, len(arms) == 1, 0)
        gate = GateSpec(GateKind.TASK, metric, Rule.AT_LEAST_PRODUCTION)
        assert judge(gate, Evidence(corpus={metric: score})).verdict is Verdict.INCONCLUSIVE


def test_equal_models_that_differ_by_chance_are_seldom_called_worse() -> None:
    right, hits = expected(120), 0
    for seed in range(20):
        score = corpus_score(table(right, answers(right, 0.8, 2 * seed), answers(right, 0.8, 2 * seed + 1)))
        hits += (score.p_worse or 0.0) <= 0.05
    assert hits <= 4  # P(more than 4 of 20 at 5 %) is 0.3 %.
