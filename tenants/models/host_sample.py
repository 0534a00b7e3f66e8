"""How a host did at one moment."""

from django.db import models

from tenants.models.owned import ClientOwned


class HostSample(ClientOwned):
    """Appended when a host went up or down, and every few minutes in between; never changed.

    `used_bytes` is the sum of what its names hold: layers that two of them share count twice. A host does not tell what
    is free.
    """

    host = models.ForeignKey("tenants.Host", on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField()
    is_up = models.BooleanField()
    latency_ms = models.FloatField(null=True)
    version = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    names = models.PositiveIntegerField(null=True)
    loaded = models.PositiveIntegerField(null=True)
    used_bytes = models.BigIntegerField(null=True)
    loaded_bytes = models.BigIntegerField(null=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-at",)
        indexes = (models.Index(fields=("host", "-at"), name="sample_of_host"),)

    def __str__(self) -> str:
        return f"{self.host_id} at {self.at:%Y-%m-%d %H:%M}"
