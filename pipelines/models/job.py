"""Heavy work of a stage, done by a worker under a lease."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from pipelines.domain.transitions import LIVE_JOBS, JobStatus
from tenants.models.owned import ClientOwned

MAX_ATTEMPTS = 2


class Job(ClientOwned):
    """`version` fences, `due_at` is the start (queued) or the lease's end (running). A reap counts as an attempt."""

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="jobs")
    stage = models.CharField(max_length=12)
    kind = models.CharField(max_length=20)
    queue = models.CharField(max_length=10)
    status = models.CharField(max_length=10, default=JobStatus.QUEUED, choices=[(s.value, s.value) for s in JobStatus])
    version = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=MAX_ATTEMPTS)
    due_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    spec = models.JSONField(default=dict)
    progress = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    log_tail = models.TextField(blank=True)
    is_permanent = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("run", "stage", "kind"), name="job_once_per_stage"),
            models.CheckConstraint(
                name="final_job_is_not_due", condition=Q(status__in=sorted(LIVE_JOBS)) | Q(due_at__isnull=True)
            ),
        )
        indexes = (models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="job_due"),)

    def __str__(self) -> str:
        return f"{self.kind} of run {self.run_id}"
