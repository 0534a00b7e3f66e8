"""A freeze: while it is in force no version gets more traffic."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class Freeze(ClientOwned):
    """Of one pipeline, of a client, or (`client` None) of the whole agency. Rollouts wait; rollbacks go on."""

    client = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Client", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, null=True, related_name="freezes")
    reason = models.CharField(max_length=500)
    actor = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=200, blank=True)
    lift_reason = models.CharField(max_length=500, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(name="freeze_says_why", condition=~Q(reason="") & ~Q(actor="")),
            models.CheckConstraint(
                name="frozen_pipeline_has_client", condition=Q(pipeline__isnull=True) | Q(client__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return self.words

    def is_in_force(self, now: datetime) -> bool:
        return self.lifted_at is None and (self.ends_at is None or now < self.ends_at)

    @property
    def place(self) -> str:
        """agency, client or client/pipeline, as the ledger and the command name it."""
        parts: list[Any] = [self.client.slug if self.client else "", self.pipeline.slug if self.pipeline else ""]
        return "/".join(filter(None, parts)) or "agency"

    @property
    def words(self) -> str:
        return f"frozen by {self.actor}: {self.reason}"
