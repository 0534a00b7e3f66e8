"""What was measured in one run: candidate and production on the same cases by the same engine."""

from django.db import models

from tenants.models.owned import ClientOwned


class Scorecard(ClientOwned):
    """`metrics`: {name: {"candidate": x, "production": y or None}}; the answers case by case are an artifact."""

    run = models.OneToOneField("pipelines.Run", on_delete=models.CASCADE, related_name="scorecard")
    version = models.OneToOneField("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="scorecard")
    production = models.ForeignKey("pipelines.ModelVersion", on_delete=models.SET_NULL, null=True, related_name="+")
    metrics = models.JSONField(default=dict)
    cases = models.JSONField(default=dict)
    latency_ms = models.JSONField(default=dict)
    answers_digest = models.CharField(max_length=64)
    engine = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"scorecard of run {self.run_id}"
