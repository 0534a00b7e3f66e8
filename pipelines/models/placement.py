"""A version on a host."""

from django.db import models

from tenants.models.owned import ClientOwned


class Placement(ClientOwned):
    """Recorded when the host's own answers agreed with ours.

    `facts`: manifest digest, blob digest, seconds, bytes sent.
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
