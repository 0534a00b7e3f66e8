"""A model version: bytes with a name, and its card."""

from __future__ import annotations

from django.db import models

from tenants.models.owned import ClientOwned


class ModelVersion(ClientOwned):
    """`v<number>` of a pipeline. `card` keeps every fact of the version card that has no column of its own.

    `status`: candidate -> production -> archived, or rejected, or rolled_back.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="versions")
    run = models.OneToOneField("pipelines.Run", on_delete=models.CASCADE, related_name="model_version")
    dataset = models.ForeignKey("pipelines.DatasetVersion", on_delete=models.PROTECT, null=True, related_name="+")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=12, default="candidate")
    gguf_digest = models.CharField(max_length=64)
    gguf_bytes = models.BigIntegerField()
    template_digest = models.CharField(max_length=64, blank=True)
    adapter_digest = models.CharField(max_length=64, blank=True)
    card = models.JSONField(default=dict)
    approved_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    promoted_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("pipeline", "number"), name="version_number_per_pipeline"),)

    def __str__(self) -> str:
        return f"v{self.number}"

    @property
    def label(self) -> str:
        return f"v{self.number}"
