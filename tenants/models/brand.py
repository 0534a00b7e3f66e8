"""How an agency shows itself to its clients: name, logo, colour, footer, and whom to call."""

from __future__ import annotations

import base64

from django.core.validators import RegexValidator
from django.db import models

from tenants.models.owned import AgencyOwned

COLOUR = r"#[0-9a-f]{6}"
DEFAULT_COLOUR = "#1d4f91"


class Brand(AgencyOwned):
    """One per agency. `logo` is a PNG that was made here from what somebody sent. `revision` fences stale edits."""

    name = models.CharField(max_length=120, blank=True)
    colour = models.CharField(max_length=7, default=DEFAULT_COLOUR, validators=[RegexValidator(f"^{COLOUR}$")])
    footer = models.CharField(max_length=300, blank=True)
    contact = models.CharField(max_length=300, blank=True)
    logo = models.BinaryField(blank=True, default=b"")
    revision = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta(AgencyOwned.Meta):
        constraints = (models.UniqueConstraint(fields=("agency",), name="one_brand_per_agency"),)

    def __str__(self) -> str:
        return self.name or "brand"

    @property
    def logo_url(self) -> str:
        """A data: address, so that a page and its print need no second request; empty without a logo."""
        return f"data:image/png;base64,{base64.b64encode(bytes(self.logo)).decode()}" if self.logo else ""
