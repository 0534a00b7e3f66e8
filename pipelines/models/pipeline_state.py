"""Where a pipeline stands: its latest run, what is in production, when its triggers are looked at next."""

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class PipelineState(ClientOwned):
    """One row per pipeline, so that an overview of 500 clients needs a constant number of queries."""

    pipeline = models.OneToOneField("tenants.Pipeline", on_delete=models.CASCADE, related_name="state")
    latest_run = models.ForeignKey("pipelines.Run", on_delete=models.SET_NULL, null=True, related_name="+")
    production = models.ForeignKey("pipelines.ModelVersion", on_delete=models.SET_NULL, null=True, related_name="+")
    due_at = models.DateTimeField(null=True, blank=True)
    schedule_seen_at = models.DateTimeField(null=True, blank=True)
    cooldown_until = models.DateTimeField(null=True, blank=True)
    last_run_number = models.PositiveIntegerField(default=0)
    last_version_number = models.PositiveIntegerField(default=0)

    class Meta(ClientOwned.Meta):
        indexes = (models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="state_due"),)

    def __str__(self) -> str:
        return f"state of {self.pipeline_id}"
