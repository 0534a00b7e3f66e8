"""A client's Ollama host."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from tenants.crypto import sealing
from tenants.models.owned import ClientOwned

# Nobody can call such a host but the agent beside it.
AGENT = "agent"


class DriftPolicy(models.TextChoices):
    REPORT = "report"
    REPAIR = "repair"


class Host(ClientOwned):
    """Where a client's models are served. `facts` is what the last probe saw; `due_at` is when it is looked at next.

    `sealed` is how we make ourselves known to it (pipelines.outbound.Access); `access` says in words what that holds.
    Drained, it takes no new version and no traffic that can go elsewhere. `memory_bytes` is what models may fill,
    as people say: a host does not tell.
    """

    name = models.SlugField(max_length=60)
    kind = models.CharField(max_length=20, default="ollama")
    url = models.URLField(max_length=300)
    is_enabled = models.BooleanField(default=True)
    sealed = models.TextField(blank=True, default="")
    access = models.JSONField(default=list, blank=True)
    memory_bytes = models.BigIntegerField(null=True, blank=True)
    drift_policy = models.CharField(max_length=10, choices=DriftPolicy.choices, default=DriftPolicy.REPORT)
    drained_at = models.DateTimeField(null=True, blank=True)
    drained_by = models.CharField(max_length=200, blank=True, default="")
    drain_reason = models.CharField(max_length=500, blank=True, default="")
    facts = models.JSONField(default=dict, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(ClientOwned.Meta):
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("client", "name"), name="host_name_per_client"),)
        indexes = (models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="host_due"),)

    def __str__(self) -> str:
        return self.name

    @property
    def is_drained(self) -> bool:
        return self.drained_at is not None

    @property
    def place(self) -> str:
        """What its secret is sealed for."""
        return f"host:{self.client_id}:{self.name}"

    def secret(self) -> dict[str, Any]:
        """Raises sealing.Unreadable."""
        return sealing.unseal(self.place, self.sealed) if self.sealed else {}
