"""What a person wants to get by mail."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.models.owned import AgencyOwned


class MailChoice(AgencyOwned):
    """Of an address in an agency, with an account or without one. No row: everything, and no digest.

    `due_at` is when the next digest is sent; None: no digest is wanted. `revision` fences stale edits.
    """

    address = models.EmailField()
    off_kinds = models.JSONField(default=list)
    off_clients = models.JSONField(default=list)
    due_at = models.DateTimeField(null=True, blank=True)
    digest_at = models.DateTimeField(null=True, blank=True)
    revision = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta(AgencyOwned.Meta):
        constraints = (models.UniqueConstraint(fields=("agency", "address"), name="mail_choice_per_address"),)
        indexes = (models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="digest_due"),)

    def __str__(self) -> str:
        return self.address
