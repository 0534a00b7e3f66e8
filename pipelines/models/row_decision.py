"""What people did with rows that were set aside, so that each act can be taken back."""

from __future__ import annotations

from django.db import models

from tenants.models.owned import ClientOwned


class RowDecision(ClientOwned):
    """One act over one or many rows: released, discarded, labelled, edited. Taken back once at most."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="row_decisions")
    verb = models.CharField(max_length=12)
    rows = models.PositiveIntegerField(default=0)
    actor = models.CharField(max_length=200)
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.CharField(max_length=200, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.verb} {self.rows}"


class RowChange(ClientOwned):
    """What one row was before and after a decision. A row that changed again meanwhile is not taken back."""

    decision = models.ForeignKey("pipelines.RowDecision", on_delete=models.CASCADE, related_name="changes")
    example = models.ForeignKey("pipelines.Example", on_delete=models.CASCADE, related_name="changes")
    before = models.JSONField()
    after = models.JSONField()

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("decision", "example"), name="change_once_per_decision"),)

    def __str__(self) -> str:
        return f"{self.decision_id} of {self.example_id}"
