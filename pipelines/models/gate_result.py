"""What one gate said."""

from django.db import models

from tenants.models.owned import ClientOwned


class GateResult(ClientOwned):
    """A verdict with its sentence and numbers; `judge_version` says which formulas spoke.

    `spec`: {"metric", "rule", "params"} as the judge was given them, so that the numbers can be judged again. `waiver`:
    in force for this gate when it spoke, whatever it said.
    """

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="gates")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=12)
    effect = models.CharField(max_length=5)
    is_shadow = models.BooleanField(default=False)
    verdict = models.CharField(max_length=12)
    sentence = models.TextField()
    numbers = models.JSONField(default=dict)
    spec = models.JSONField(default=dict)
    waiver = models.ForeignKey("pipelines.Waiver", on_delete=models.SET_NULL, null=True, related_name="verdicts")
    judge_version = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("run_id", "position")
        constraints = (models.UniqueConstraint(fields=("run", "name"), name="gate_once_per_run"),)

    def __str__(self) -> str:
        return self.sentence

    @property
    def is_waived(self) -> bool:
        """Whether a waiver kept this verdict from deciding."""
        return self.waiver_id is not None and self.verdict != "passed"

    @property
    def lacks_production(self) -> bool:
        """Whether it had nothing to compare with. Only the sentence keeps that."""
        return "no production yet" in self.sentence
