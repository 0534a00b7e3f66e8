"""A person's own account: what is noted of it in the ledger, and its removal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import transaction

from tenants import crossing, scope
from tenants.models import AuditEvent, Membership, User
from tenants.models.audit_event import pseudonym_of
from tenants.people import roles


def memberships_of(user: User) -> Iterator[Membership]:
    """Each inside its agency's scope, which lasts while the caller looks at it."""
    for agency_id, _client_id, pk in crossing.ask("memberships_of_user", user=user.pk):
        with scope.agency_scope(agency_id):
            yield Membership.objects.select_related("agency", "client", "user").get(pk=pk)


@transaction.atomic
def note(user: User, verb: str, now: datetime, detail: dict[str, Any]) -> None:
    """An act of a person on their own account, in the chain of each place that they belong to."""
    for membership in memberships_of(user):
        owner = membership.client or membership.agency
        AuditEvent.append(owner, user.email, verb, user.email, now, detail)


@transaction.atomic
def remove_account(user: User, now: datetime) -> str:
    """Ends every membership with its keys, links, invitations and sessions; what is left is a name that names nobody.

    Ledgers keep what the person did under the pseudonym that is given back. Raises `MemberRefused`, and then nothing
    was changed, for the last owner of an agency.
    """
    email, pseudonym = user.email, pseudonym_of(user.email)
    agencies: set[int] = set()
    for membership in memberships_of(user):
        agencies.add(membership.agency_id)
        roles.leave(membership, email, now, "removed their own account")
    for agency_id in agencies:
        with scope.agency_scope(agency_id):
            AuditEvent.pseudonymise(email)
    user.email, user.name, user.is_active = f"{pseudonym.replace(':', '-')}@account.invalid", "", False
    user.set_unusable_password()
    user.save(update_fields=["email", "name", "is_active", "password"])
    roles.end_sessions(user)
    return pseudonym
