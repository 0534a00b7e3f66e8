"""What a version was trained on: an immutable manifest."""

from django.db import models

from tenants.models.owned import ClientOwned


class DatasetVersion(ClientOwned):
    """`digest` is the artifact (JSONL) that the trainer read; the same rows give the same digest on any machine.

    `manifest` is the artifact that lists them with their origin. `batches`: {batch id: rows of it}. `left_out`: {rule:
    rows that could have trained and did not}.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="datasets")
    run = models.OneToOneField("pipelines.Run", on_delete=models.CASCADE, related_name="dataset")
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    digest = models.CharField(max_length=64)
    rows_total = models.PositiveIntegerField()
    rows_new = models.PositiveIntegerField()
    manifest = models.CharField(max_length=64, blank=True)
    labels = models.JSONField(default=dict)
    batches = models.JSONField(default=dict)
    left_out = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.digest[:12]
