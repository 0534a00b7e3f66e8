"""A question of the held-out set that may be shown with its answers to readers without an account."""

from django.db import models

from tenants.models.owned import ClientOwned


class SharedExample(ClientOwned):
    """Approved by a person; `key` is the case's, the same in every version of the set."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=100)
    approved_by = models.CharField(max_length=200)
    approved_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("key",)
        constraints = (models.UniqueConstraint(fields=("pipeline", "key"), name="example_shared_once"),)

    def __str__(self) -> str:
        return self.key
