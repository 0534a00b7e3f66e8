"""The route of a pipeline's traffic: one row, one commit, every gateway follows."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class Route(ClientOwned):
    """`serial` is unique and rising over the installation, so that a gateway asks only for what changed.

    `candidate_bp` is the candidate's share in basis points (1/100 of a percent).
    """

    pipeline = models.OneToOneField("tenants.Pipeline", on_delete=models.CASCADE, related_name="route")
    production = models.ForeignKey("pipelines.ModelVersion", on_delete=models.PROTECT, related_name="+")
    candidate = models.ForeignKey("pipelines.ModelVersion", on_delete=models.PROTECT, null=True, related_name="+")
    candidate_bp = models.PositiveSmallIntegerField(default=0)
    rollout = models.ForeignKey("pipelines.Rollout", on_delete=models.SET_NULL, null=True, related_name="+")
    serial = models.BigIntegerField(unique=True)
    changed_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        constraints = (
            models.CheckConstraint(
                name="share_needs_candidate",
                condition=Q(candidate__isnull=False, candidate_bp__lte=10_000)
                | Q(candidate__isnull=True, candidate_bp=0),
            ),
        )

    def __str__(self) -> str:
        return f"route of {self.pipeline_id}"
