"""What one gate said."""

from django.db import models

from tenants.models.owned import ClientOwned


class GateResult(ClientOwned):
    """A verdict with its sentence and numbers; `judge_version` says which formulas spoke."""

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="gates")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=12)
    effect = models.CharField(max_length=5)
    is_shadow = models.BooleanField(default=False)
    verdict = models.CharField(max_length=12)
    sentence = models.TextField()
    numbers = models.JSONField(default=dict)
    judge_version = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("run_id", "position")
        constraints = (models.UniqueConstraint(fields=("run", "name"), name="gate_once_per_run"),)

    def __str__(self) -> str:
        return self.sentence
