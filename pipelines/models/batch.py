"""One upload of examples."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class Batch(ClientOwned):
    """`token` makes an upload idempotent: the same token answers with the same batch.

    `source` is what its sender called it, `origin` where it comes from. A file that is still to be read lies in the
    store under `file_digest`; `reading` says how it is read; it is worked on while `due_at` is set, which is also the
    lease of whoever reads. Lines that came without a file count as `line_bytes`. A withdrawn batch is kept, and its
    rows do not train.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="batches")
    origin = models.ForeignKey("pipelines.Source", on_delete=models.RESTRICT, null=True, related_name="batches")
    token = models.CharField(max_length=100)
    source = models.CharField(max_length=100, default="upload")
    file_digest = models.CharField(max_length=64, blank=True)
    file_bytes = models.BigIntegerField(default=0)
    line_bytes = models.BigIntegerField(default=0, db_default=0)
    reading = models.JSONField(default=dict, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    progress = models.FloatField(default=0.0)
    error = models.TextField(blank=True)
    is_complete = models.BooleanField(default=False)
    rows = models.PositiveIntegerField(default=0)
    quarantined = models.PositiveIntegerField(default=0)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.CharField(max_length=200, blank=True)
    withdrawn_reason = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("pipeline", "token"), name="batch_token_per_pipeline"),)
        indexes = (models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="batch_due"),)

    def __str__(self) -> str:
        return f"{self.source} {self.token}"

    @property
    def is_draft(self) -> bool:
        """A file that somebody sent and nobody has said yet how to read."""
        return bool(self.file_digest) and not self.is_complete and self.due_at is None
