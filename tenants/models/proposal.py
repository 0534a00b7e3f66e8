"""What one person proposed and a second one confirms: promotions, thresholds, waivers, the switches themselves."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class Outcome(StrEnum):
    """Of a proposal that is no longer open. One that nobody decided in time is expired, whatever stands here."""

    CONFIRMED = "confirmed"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class Proposal(ClientOwned):
    """At a client, or (`client` None) in the agency itself. `payload` is what the confirmed act is made of."""

    client = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Client", on_delete=models.CASCADE, null=True, related_name="+"
    )
    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, null=True, related_name="+")
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    payload = models.JSONField(default=dict)
    reason = models.CharField(max_length=500)
    proposed_by = models.CharField(max_length=200)
    proposed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    outcome = models.CharField(max_length=10, blank=True, default="", choices=[(o.value, o.value) for o in Outcome])
    decided_by = models.CharField(max_length=200, blank=True, default="")
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                name="nobody_confirms_their_own",
                condition=~Q(outcome="confirmed") | ~Q(decided_by=models.F("proposed_by")),
            ),
        )
        indexes = (models.Index(fields=("pipeline",), name="open_proposals", condition=Q(outcome="")),)

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    def is_open(self, now: datetime) -> bool:
        return not self.outcome and now < self.expires_at

    def state(self, now: datetime) -> str:
        """open, confirmed, declined, withdrawn or expired."""
        return self.outcome or ("open" if now < self.expires_at else "expired")
