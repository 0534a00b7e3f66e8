"""An invitation to one address, to be used once."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from tenants.models.membership import Role
from tenants.models.owned import AgencyOwned


class Invitation(AgencyOwned):
    """Only the token's digest is kept. `client`: of a reader, or of staff who see that client only."""

    client = models.ForeignKey("tenants.Client", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=[(r.value, r.value) for r in Role])
    digest = models.CharField(max_length=64, unique=True)
    invited_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta(AgencyOwned.Meta):
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(name="reader_is_invited_to_a_client", condition=~Q(role="reader", client=None)),
        )

    def __str__(self) -> str:
        return f"{self.email} as {self.role}"

    @property
    def asks_factor(self) -> bool:
        """Whether whoever accepts it sets up a second factor before anything else."""
        return self.agency.needs_factor and self.role != Role.READER

    def is_open(self, now: datetime) -> bool:
        return self.accepted_at is None and self.revoked_at is None and now < self.expires_at
