"""A machine of an agency that pulls jobs: it connects out, nobody connects to it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.db import models

from tenants.models.owned import AgencyOwned

SILENT_AFTER = timedelta(minutes=2)
PREFIX_CHARS = 8


def digest_of(token: str) -> str:
    # 256 random bits: a fast hash is enough.
    return hashlib.sha256(token.encode()).hexdigest()


class Machine(AgencyOwned):
    """`abilities` are what it last said of itself; `queues` and `is_trusted` are what the agency says of it.

    Only one that is trusted is given evaluations: a scorecard is what it says.
    """

    name = models.SlugField(max_length=60)
    prefix = models.CharField(max_length=PREFIX_CHARS, unique=True)
    digest = models.CharField(max_length=64, unique=True)
    queues = models.JSONField(default=list)
    is_trusted = models.BooleanField(default=False)
    abilities = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta(AgencyOwned.Meta):
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("agency", "name"), condition=models.Q(revoked_at__isnull=True), name="machine_name_per_agency"
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def is_working(self) -> bool:
        """Neither paused nor revoked."""
        return self.paused_at is None and self.revoked_at is None

    def is_silent(self, now: datetime) -> bool:
        return self.last_seen_at is None or now - self.last_seen_at > SILENT_AFTER
