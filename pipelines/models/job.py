"""Heavy work of a stage, done by a worker or a machine under a lease."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from pipelines.domain.transitions import LIVE_JOBS, JobStatus
from tenants.models.owned import ClientOwned

MAX_ATTEMPTS = 2


class Job(ClientOwned):
    """`version` fences, `due_at` is the start (queued) or the lease's end (running). A reap counts as an attempt.

    `kind` says what of: "restore:12", "push:berlin:repair-7" with the whole name of a host.

    `machine` is the id of the agency's machine that has it or had it last, `errand` what it was told to do, `handed`
    what it says that it made: then the job waits for a worker of ours, who looks at that and settles.
    """

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="jobs")
    stage = models.CharField(max_length=12)
    kind = models.CharField(max_length=120)
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
    machine = models.BigIntegerField(null=True, blank=True)
    errand = models.JSONField(default=dict)
    handed = models.JSONField(default=dict)
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
        indexes = (
            models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="job_due"),
            models.Index(fields=("queue", "finished_at"), name="job_pace"),
        )

    def __str__(self) -> str:
        return f"{self.kind} of run {self.run_id}"


class Turn(ClientOwned):
    """When a client last had its turn in a queue: whoever was served longest ago is next.

    Who claims a job holds this row: claims for one client come one after the other, so its bound is one.
    """

    queue = models.CharField(max_length=10)
    served_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        constraints = (models.UniqueConstraint(fields=("client", "queue"), name="turn_once_per_queue"),)

    def __str__(self) -> str:
        return f"turn in {self.queue}"


class JobPart(ClientOwned):
    """A piece of what a machine hands in: its bytes lie in the job's own corner of the store.

    `version` is that of the claim: pieces of an attempt that was lost are nobody's.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="parts")
    version = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    offset = models.BigIntegerField()
    size_bytes = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("name", "offset")
        constraints = (models.UniqueConstraint(fields=("job", "version", "name", "offset"), name="job_part_once"),)

    def __str__(self) -> str:
        return f"{self.name} at {self.offset}"
