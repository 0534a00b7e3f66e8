"""A person's leave for one gate."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class Waiver(ClientOwned):
    """Until it ends, by the clock or by a person, verdicts of this blocking gate are shown and do not decide."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="waivers")
    gate = models.CharField(max_length=60)
    approver = models.CharField(max_length=200)
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.CharField(max_length=200, blank=True)
    withdrawn_reason = models.CharField(max_length=500, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                name="waiver_ends_after_it_begins", condition=Q(expires_at__gt=models.F("created_at"))
            ),
            models.CheckConstraint(name="waiver_says_why", condition=~Q(reason="") & ~Q(approver="")),
        )

    def __str__(self) -> str:
        return f"{self.gate} until {self.expires_at:%Y-%m-%d}"

    def is_in_force(self, now: datetime) -> bool:
        return self.withdrawn_at is None and self.created_at <= now < self.expires_at

    @property
    def words(self) -> str:
        """What its verdicts say of it."""
        return f"waived by {self.approver} until {self.expires_at:%Y-%m-%d %H:%M} UTC: {self.reason}"
