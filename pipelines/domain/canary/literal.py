"""The literal rule "more than 5 % below the baseline", and how often it takes back a healthy model."""

import numpy as np

from pipelines.domain.eprocess import Slot
from pipelines.domain.power import binomial_pmf


def is_literal_drop(counts: Slot, drop: float = 0.05) -> bool:
    """Whether the candidate's share of good requests in a window is more than `drop` relative below the baseline's."""
    if not counts.has_both_arms:
        return False
    c, b = counts.rates
    return (1 - c) < (1 - drop) * (1 - b)


def literal_false_rollback_rate(
    candidate_requests: int, candidate_share: float, success: float, windows: int, drop: float = 0.05
) -> float:
    """P(the literal rule takes back an equally good model), exact; `candidate_requests` in each of `windows` looks."""
    n_c = candidate_requests
    n_b = max(1, round(n_c * (1 - candidate_share) / candidate_share))
    k_c, k_b = np.arange(n_c + 1), np.arange(n_b + 1)
    fires = (k_c / n_c)[:, None] < (1 - drop) * (k_b / n_b)[None, :] - 1e-12
    once = float(binomial_pmf(n_c, success, k_c) @ fires @ binomial_pmf(n_b, success, k_b))
    return 1.0 - (1.0 - min(1.0, once)) ** windows
