"""Data checks: what a row must be, what a batch must look like, and what follows."""

from pipelines.domain.data_checks.batch import BatchCounts, BatchDecision, BatchLimits, Course, decide_batch
from pipelines.domain.data_checks.distribution import Distribution, DistributionLimits, compare_labels
from pipelines.domain.data_checks.quality import OutputFormat, QualityScore, QualitySettings, score_quality
from pipelines.domain.data_checks.schema import Example, Layout, RowProblem, RowRule, parse_line, parse_row
from pipelines.domain.data_checks.shingles import jaccard, shingles

__all__ = [
    "BatchCounts",
    "BatchDecision",
    "BatchLimits",
    "Course",
    "Distribution",
    "DistributionLimits",
    "Example",
    "Layout",
    "OutputFormat",
    "QualityScore",
    "QualitySettings",
    "RowProblem",
    "RowRule",
    "compare_labels",
    "decide_batch",
    "jaccard",
    "parse_line",
    "parse_row",
    "score_quality",
    "shingles",
]
