"""A rollback: what was taken back, to what, on which numbers, how fast."""

from django.db import models

from tenants.models.owned import ClientOwned


class Rollback(ClientOwned):
    """`last_answer_at` is the candidate's last answer after the decision; `seconds` the time between the two."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="rollbacks")
    rollout = models.ForeignKey("pipelines.Rollout", on_delete=models.SET_NULL, null=True, related_name="rollbacks")
    from_version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="+")
    to_version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, null=True, related_name="+")
    phase = models.CharField(max_length=10)
    metric = models.CharField(max_length=40)
    sentence = models.TextField()
    numbers = models.JSONField(default=dict)
    decided_by = models.CharField(max_length=200)
    decided_at = models.DateTimeField()
    flipped_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    last_answer_at = models.DateTimeField(null=True, blank=True)
    hosts = models.JSONField(default=dict)

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.sentence

    @property
    def seconds(self) -> float | None:
        """From the decision to the last answer of the version rolled back; None while traffic has not yet shown it."""
        if self.last_answer_at is None:
            return None
        return max(0.0, (self.last_answer_at - self.decided_at).total_seconds())
