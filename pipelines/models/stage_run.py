"""One stage of one run: what it gave, and how long it took."""

from django.db import models

from tenants.models.owned import ClientOwned


class StageRun(ClientOwned):
    """Unique per (run, stage): a stage that runs twice finds what it already did.

    `notes` is its own memory between wakes.
    """

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="stages")
    stage = models.CharField(max_length=12)
    status = models.CharField(max_length=12, default="running")
    notes = models.JSONField(default=dict)
    output = models.JSONField(default=dict)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("run", "stage"), name="stage_once_per_run"),)
        indexes = (models.Index(fields=("finished_at",), name="stage_finished"),)  # A month of a whole agency.

    def __str__(self) -> str:
        return self.stage
