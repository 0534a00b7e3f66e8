"""Which rows make a dataset: shares of sources, a split for evaluation, what differs between two."""

from pipelines.domain.dataset.shares import keep
from pipelines.domain.dataset.split import draw

__all__ = ["draw", "keep"]
