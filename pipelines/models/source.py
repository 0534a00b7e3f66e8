"""Where examples come from: how far a source is trusted, how large a part it may be, how its files are read."""

from __future__ import annotations

from enum import StrEnum

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class Trust(StrEnum):
    HIGH = "high"  # rows train once they have passed the checks
    LOW = "low"  # each row waits in the review queue until a person lets it through


class Source(ClientOwned):
    """One origin of rows of a pipeline, by name.

    `max_share` is the largest part of a training set that its rows may be, empty: any. `mapping` is how its last file
    was read, so that the next one needs no questions. A withdrawn source's rows do not train.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="sources")
    name = models.CharField(max_length=100)
    trust = models.CharField(max_length=4, default=Trust.HIGH, choices=[(t.value, t.value) for t in Trust])
    max_share = models.FloatField(null=True, blank=True)
    mapping = models.JSONField(default=dict, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.CharField(max_length=200, blank=True)
    withdrawn_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=("pipeline", "name"), name="source_name_per_pipeline"),
            models.CheckConstraint(
                name="source_share_is_a_share",
                condition=Q(max_share__isnull=True) | Q(max_share__gt=0, max_share__lte=1),
            ),
        )

    def __str__(self) -> str:
        return self.name
