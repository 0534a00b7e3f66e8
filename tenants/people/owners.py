"""Who answers for an agency."""

from __future__ import annotations

from tenants import scope
from tenants.models import Membership, Role


def owners_of(agency_id: int) -> list[str]:
    """Addresses of the owners who can sign in; from any scope inside the agency."""
    with scope.agency_scope(agency_id):
        found = Membership.objects.filter(role=Role.OWNER, user__is_active=True).select_related("user")
        return sorted(row.user.email for row in found)
