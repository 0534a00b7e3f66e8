"""A version on a host."""

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned

# Given up, and its host has not said yet that the model is gone.
LEAVING = Q(status="retired", facts__retired_at__isnull=True)


class Placement(ClientOwned):
    """Recorded when the host's own answers agreed with ours.

    `facts`: manifest digest, blob digest, seconds, bytes sent. A retired one has `retired_at` once its host obeyed.
    """

    version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="placements")
    host = models.ForeignKey("tenants.Host", on_delete=models.CASCADE, related_name="placements")
    model_name = models.CharField(max_length=300)
    status = models.CharField(max_length=10, default="placed")
    facts = models.JSONField(default=dict)
    placed_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        constraints = (models.UniqueConstraint(fields=("version", "host"), name="placement_once"),)

    def __str__(self) -> str:
        return self.model_name
