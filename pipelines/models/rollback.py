"""A rollback: what was taken back, to what, on which numbers, how fast. And its rehearsal."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from pipelines.domain.transitions import JobStatus
from pipelines.models.job import Job
from pipelines.models.model_version import ModelVersion
from tenants.models.owned import ClientOwned


class Rollback(ClientOwned):
    """`last_answer_at` is the candidate's last answer after the decision; `seconds` the time between the two.

    `flipped_at` is empty while a version that was not loaded is proven on its hosts (`hosts`: what each said). Of an
    order at a gateway it is when the database followed.
    """

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
    def target(self) -> ModelVersion:
        if self.to_version is None:
            raise ValueError("The version that this rollback went back to is gone.")
        return self.to_version

    @property
    def moved_at(self) -> datetime:
        """When the traffic moved; until then, when that was decided."""
        return self.flipped_at or self.decided_at

    @property
    def standing(self) -> str:
        """Of one whose traffic has not moved: waits, given_up, or overtaken by a later decision."""
        jobs = Job.objects.filter(client_id=self.client_id, kind=f"bring:{self.pk}")
        status = jobs.values_list("status", flat=True).first()
        return {JobStatus.FAILED: "given_up", JobStatus.SUCCEEDED: "overtaken"}.get(status, "waits")

    @property
    def untold(self) -> dict[str, str]:
        """Hosts that have not answered with the version that came back, and what they said instead."""
        return {} if self.verified_at else {name: said for name, said in self.hosts.items() if said != "ok"}

    @property
    def seconds(self) -> float | None:
        """From the decision to the last answer of the version rolled back; None while traffic has not yet shown it."""
        if self.last_answer_at is None:
            return None
        return max(0.0, (self.last_answer_at - self.decided_at).total_seconds())


class Drill(ClientOwned):
    """A rollback rehearsed up to its flip: no traffic moved. One of a pipeline at a time.

    `is_passed` is empty while it goes on. `hosts`: name -> {"is_ready", "sentence", "load_s", "answer_s"}.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="drills")
    from_version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="+")
    to_version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="+")
    ordered_by = models.CharField(max_length=200)
    is_passed = models.BooleanField(null=True)
    sentence = models.TextField(blank=True)
    hosts = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("pipeline",), condition=Q(is_passed=None), name="one_drill_at_a_time"),
            models.CheckConstraint(
                name="drill_ends_with_a_result",
                condition=Q(is_passed=None, finished_at=None) | Q(is_passed__isnull=False, finished_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return self.sentence

    @property
    def status(self) -> str:
        return "running" if self.is_passed is None else "passed" if self.is_passed else "failed"
