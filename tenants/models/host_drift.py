"""Something on a host that is not as it was placed."""

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class HostDrift(ClientOwned):
    """One difference under one name, from the look that found it to the one that did not find it any more.

    `right_at`: when it was last seen as it should be. `repaired_by` is empty where it went away by itself, or by hand.
    """

    host = models.ForeignKey("tenants.Host", on_delete=models.CASCADE, related_name="drifts")
    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="+", null=True)
    model_name = models.CharField(max_length=300)
    kind = models.CharField(max_length=20)
    expected = models.TextField(blank=True)
    found = models.TextField(blank=True)
    right_at = models.DateTimeField(null=True)
    found_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    repaired_by = models.CharField(max_length=200, blank=True, default="")
    repair_error = models.TextField(blank=True, default="")

    class Meta(ClientOwned.Meta):
        ordering = ("-found_at",)
        constraints = (
            models.UniqueConstraint(
                fields=("host", "model_name", "kind"), condition=Q(ended_at__isnull=True), name="drift_once_at_a_time"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} of {self.model_name}"
