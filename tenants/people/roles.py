"""A role that changes, and what goes when somebody leaves: sessions, keys, links, invitations."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from tenants import actions
from tenants.models import Agency, ApiKey, AuditEvent, Invitation, Membership, Role, ShareLink, User
from tenants.people import four_eyes
from tenants.sharing import revoke_link
from tenants.telling.choices import close_choices


def end_sessions(user: User) -> None:
    """Every browser of the person is signed out with its next click."""
    User.objects.filter(pk=user.pk).update(epoch=F("epoch") + 1)


@transaction.atomic
def change_role(membership: Membership, role: Role, actor: str, now: datetime, reason: str) -> None:
    """Of staff. Raises `MemberRefused` for a reader, for the last owner, and for an owner of one client only."""
    agency = Agency.objects.select_for_update().get(pk=membership.agency_id)
    if Role.READER in (membership.role, role) or (role == Role.OWNER and membership.client_id):
        raise actions.MemberRefused(_("This role cannot be had here. Remove the person and send an invitation."))
    owners = Membership.objects.filter(role=Role.OWNER).exclude(pk=membership.pk)
    if membership.role == Role.OWNER and not owners.exists():
        raise actions.MemberRefused(_("The last owner stays: make somebody else an owner first."))
    detail = {"role": [membership.role, role], "reason": reason}
    membership.role = role
    membership.save(update_fields=["role"])
    end_sessions(membership.user)
    four_eyes.drop_of(membership.user.email, membership.client_id, actor, now)
    AuditEvent.append(membership.client or agency, actor, "member.role", membership.user.email, now, detail)


@transaction.atomic
def leave(membership: Membership, actor: str, now: datetime, reason: str) -> tuple[int, int]:
    """Removes the person; gives how many keys and links of theirs were closed. Raises `MemberRefused`."""
    email, place = membership.user.email, membership.client_id
    actions.remove_member(membership, actor, now, reason)
    end_sessions(membership.user)
    why = "whoever made it left"
    four_eyes.drop_of(email, place, actor, now)
    Invitation.objects.filter(invited_by=email, accepted_at=None, revoked_at=None).update(revoked_at=now)
    links = ShareLink.objects.filter(created_by=email, revoked_at=None)
    links = links.filter(client_id=place) if place else links
    for link in links:
        revoke_link(link, actor, now, why)
    if not Membership.objects.filter(user=membership.user, agency_id=membership.agency_id).exists():
        close_choices(membership.agency_id, email)
    keys = _keys_of(email, place)
    for key in keys:
        actions.revoke_key(key, actor, now)
    return len(keys), len(links)


def _keys_of(email: str, client_id: int | None) -> list[ApiKey]:
    """Keys that are in force and that the ledger says this person issued."""
    acts = AuditEvent.objects.filter(actor=email, verb="key.issue", client_id__isnull=False)
    acts = acts.filter(client_id=client_id) if client_id else acts
    prefixes = {subject.rpartition("rk_")[2] for subject in acts.values_list("subject", flat=True)}
    found: list[ApiKey] = list(ApiKey.objects.filter(prefix__in=prefixes, revoked_at=None))
    return found
