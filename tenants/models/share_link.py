"""A link by which somebody without an account reads a client's report, for a while."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q

from tenants.models.client import Client
from tenants.models.owned import ClientOwned


def token_digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class ShareLink(ClientOwned):
    """Opens one client's report, or (`pipeline`) one part of it. Only the token's digest is kept."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, null=True, related_name="+")
    name = models.CharField(max_length=120)
    digest = models.CharField(max_length=64, unique=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_viewed_at = models.DateTimeField(null=True, blank=True)
    views = models.PositiveIntegerField(default=0)

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (models.CheckConstraint(name="share_link_is_for_somebody", condition=~Q(name="")),)

    def __str__(self) -> str:
        return self.name

    def is_open(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at

    @classmethod
    def issue(cls, client: Client, **fields: Any) -> tuple[ShareLink, str]:
        """A saved link and its token, which is told once."""
        token = secrets.token_urlsafe(32)
        row = cls(agency_id=client.agency_id, client=client, digest=token_digest(token), **fields)
        row.save()
        return row, token
