"""The trigger ledger: why a run started, or why not yet."""

from django.db import models

from tenants.models.owned import ClientOwned


class TriggerDecision(ClientOwned):
    """A row whenever the outcome changes. `unique(pipeline, occasion)` makes two tickers harmless."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="trigger_decisions")
    at = models.DateTimeField()
    started = models.BooleanField()
    reason = models.TextField()
    next_eligible_at = models.DateTimeField(null=True, blank=True)
    occasion = models.CharField(max_length=100, null=True, blank=True)
    run = models.ForeignKey("pipelines.Run", on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("pipeline", "occasion"), name="occasion_once_per_pipeline"),)

    def __str__(self) -> str:
        return self.reason
