"""A client: the tenant."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.db import models

from tenants.models.owned import Owned
from tenants.scope import Scope


class Client(Owned):
    """One client of an agency. Its slug is part of model names on hosts, hence unique in the installation.

    `contact`: whom its people call; empty is the agency's own. `is_demo`: made up by this program, and removed with all
    that is its own in one go; it never changes after the row is made (PostgreSQL holds that, and `create_client`).
    `origin`: the archive that it came of, with the artifact that its ledger until then lies in; empty where made here.
    """

    agency = models.ForeignKey("tenants.Agency", on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60, unique=True)
    timezone = models.CharField(max_length=60, default="UTC")
    language = models.CharField(max_length=10, default="en")
    contact = models.CharField(max_length=300, blank=True, default="")
    # Retention of weights: the last so many versions that were in production, and everything younger than so many days.
    keep_versions = models.PositiveSmallIntegerField(default=5)
    keep_days = models.PositiveSmallIntegerField(default=90)
    is_demo = models.BooleanField(default=False)
    origin = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    # Whether a second person confirms; None is as the agency says (tenants/people/four_eyes.py).
    two_for_promotion = models.BooleanField(null=True)
    two_for_thresholds = models.BooleanField(null=True)
    two_for_erasure = models.BooleanField(null=True)

    class Meta(Owned.Meta):
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def scope_filter(cls, current: Scope) -> dict[str, int | None]:
        return {"id": current.client_id} if current.client_id is not None else {"agency_id": current.agency_id}

    def owner(self) -> tuple[int | None, int | None]:
        return self.agency_id, self.pk

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)
