"""One look of the canary or monitor analysis."""

from django.db import models

from tenants.models.owned import ClientOwned


class Check(ClientOwned):
    """`number` counts within (rollout, phase): a look that is repeated after a crash is the same row."""

    rollout = models.ForeignKey("pipelines.Rollout", on_delete=models.CASCADE, related_name="checks")
    phase = models.CharField(max_length=8)
    number = models.PositiveIntegerField()
    decision = models.CharField(max_length=12)
    sentence = models.TextField()
    numbers = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("rollout", "phase", "number"), name="look_once"),)

    def __str__(self) -> str:
        return self.sentence
