"""A question of the held-out set that may be shown with its answers to readers without an account."""

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class SharedExample(ClientOwned):
    """Approved by a person, who saw just these words: `digest` is of the version's number, the case's key, the question
    and both answers. Empty: approved when only the key was kept, and never shown."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="+")
    version = models.PositiveIntegerField(null=True)
    key = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, default="", db_default="", blank=True)
    approved_by = models.CharField(max_length=200)
    approved_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("key",)
        constraints = (
            models.UniqueConstraint(fields=("pipeline", "digest"), condition=~Q(digest=""), name="words_shared_once"),
        )

    def __str__(self) -> str:
        return self.key
