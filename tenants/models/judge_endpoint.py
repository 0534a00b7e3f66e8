"""Judge models that a client's rows may be shown to."""

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class JudgeEndpoint(ClientOwned):
    """A row stands for the client's consent: `allowed_by` named it, `withdrawn_at` ends it. Never changed otherwise.

    `key_name` names an entry of the installation's JUDGE_KEYS; the key itself is in no row.
    """

    name = models.SlugField(max_length=60)
    kind = models.CharField(max_length=20)
    url = models.URLField(max_length=300)
    model = models.CharField(max_length=200)
    key_name = models.CharField(max_length=60, blank=True)
    allowed_by = models.CharField(max_length=200)
    allowed_at = models.DateTimeField()
    withdrawn_by = models.CharField(max_length=200, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("name", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("client", "name"), condition=Q(withdrawn_at__isnull=True), name="judge_name_per_client"
            ),
        )

    def __str__(self) -> str:
        return self.name
