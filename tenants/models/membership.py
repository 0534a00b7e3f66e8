"""What a person is to an agency or to one client."""

from enum import StrEnum

from django.db import models
from django.db.models import Q

from tenants.models.owned import AgencyOwned


class Role(StrEnum):
    OWNER = "owner"
    ENGINEER = "engineer"
    VIEWER = "viewer"
    READER = "reader"


class Membership(AgencyOwned):
    """Staff have a role in the agency, or (`client`) at single clients of it only; a reader belongs to one client.

    `views`: [{"name", "query"}] of the overview that the person keeps.
    """

    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="memberships")
    client = models.ForeignKey("tenants.Client", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    role = models.CharField(max_length=10, choices=[(r.value, r.value) for r in Role])
    created_at = models.DateTimeField(auto_now_add=True)
    views = models.JSONField(default=list, blank=True)

    class Meta(AgencyOwned.Meta):
        constraints = (
            # Two constraints, because SQLite tells every empty client from every other.
            models.UniqueConstraint(fields=("user", "client"), name="member_once_per_client"),
            models.UniqueConstraint(fields=("user", "agency"), name="staff_once", condition=Q(client__isnull=True)),
            models.CheckConstraint(
                name="role_fits_place",
                condition=~Q(role="reader", client__isnull=True) & ~Q(role="owner", client__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.role} {self.user_id}"
