"""One upload of examples."""

from django.db import models

from tenants.models.owned import ClientOwned


class Batch(ClientOwned):
    """`token` makes an upload idempotent: the same token answers with the same batch."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="batches")
    token = models.CharField(max_length=100)
    source = models.CharField(max_length=100, default="upload")
    is_complete = models.BooleanField(default=False)
    rows = models.PositiveIntegerField(default=0)
    quarantined = models.PositiveIntegerField(default=0)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("pipeline", "token"), name="batch_token_per_pipeline"),)

    def __str__(self) -> str:
        return f"{self.source} {self.token}"
