"""A client's Ollama host."""

from django.db import models

from tenants.models.owned import ClientOwned


class Host(ClientOwned):
    """Where a client's models are served. `facts` is what the last probe saw."""

    name = models.SlugField(max_length=60)
    kind = models.CharField(max_length=20, default="ollama")
    url = models.URLField(max_length=300)
    is_enabled = models.BooleanField(default=True)
    facts = models.JSONField(default=dict, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(ClientOwned.Meta):
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("client", "name"), name="host_name_per_client"),)

    def __str__(self) -> str:
        return self.name
