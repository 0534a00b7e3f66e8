"""Data checks: what a row must be, what a batch must look like, and what follows."""

from pipelines.domain.data_checks.batch import BatchCounts, BatchDecision, BatchLimits, Course, decide_batch
from pipelines.domain.data_checks.distribution import (
    Distribution,
    DistributionLimits,
    Shift,
    compare_labels,
    compare_shares,
    length_bin,
)
from pipelines.domain.data_checks.language import LANGUAGES, language_of, words_of
from pipelines.domain.data_checks.novelty import Categories
from pipelines.domain.data_checks.quality import OutputFormat, QualityScore, QualitySettings, score_quality
from pipelines.domain.data_checks.schema import Example, Layout, RowProblem, RowRule, Unreadable, parse_line, parse_row
from pipelines.domain.data_checks.secrets import KINDS, Finding, find_secrets, masked
from pipelines.domain.data_checks.shingles import jaccard, shingles

__all__ = [
    "KINDS",
    "LANGUAGES",
    "BatchCounts",
    "BatchDecision",
    "BatchLimits",
    "Categories",
    "Course",
    "Distribution",
    "DistributionLimits",
    "Example",
    "Finding",
    "Layout",
    "OutputFormat",
    "QualityScore",
    "QualitySettings",
    "RowProblem",
    "RowRule",
    "Shift",
    "Unreadable",
    "compare_labels",
    "compare_shares",
    "decide_batch",
    "find_secrets",
    "jaccard",
    "language_of",
    "length_bin",
    "masked",
    "parse_line",
    "parse_row",
    "score_quality",
    "shingles",
    "words_of",
]
