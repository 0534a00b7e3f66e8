"""Invitations: made out to one address, used once, never above the role of whoever invites."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from tenants import crossing, scope
from tenants.access import RANK
from tenants.actions import MemberRefused, add_member
from tenants.models import Agency, AuditEvent, Client, Invitation, Membership, Role, User
from tenants.models.share_link import token_digest

LASTS = timedelta(days=7)


@transaction.atomic
def invite(
    agency: Agency, email: str, role: str, client: Client | None, *, actor: str, now: datetime
) -> tuple[Invitation, str]:
    """An invitation and its token, which is told this once. An earlier one to the same place is closed.

    Raises `MemberRefused` for a member, for a role above the actor's, and for an owner of one client only.
    """
    Agency.objects.select_for_update().get(pk=agency.pk)
    email, place = email.lower(), _place(role, client)
    _check_rank(actor, role)
    if Membership.objects.filter(user__email=email, client=place).exists():
        raise MemberRefused(_("This person is a member here already."))
    open_ones = Invitation.objects.filter(email=email, client=place, accepted_at=None, revoked_at=None)
    open_ones.update(revoked_at=now)
    token = secrets.token_urlsafe(32)
    fields = {"email": email, "role": role, "client": place, "invited_by": actor, "created_at": now}
    row = Invitation(agency=agency, digest=token_digest(token), expires_at=now + LASTS, **fields)
    row.save()
    AuditEvent.append(place or agency, actor, "member.invite", email, now, {"role": role})
    return row, token


def _place(role: str, client: Client | None) -> Client | None:
    if role == Role.OWNER and client is not None:
        raise MemberRefused(_("An owner sees every client: leave the client empty."))
    if role == Role.READER and client is None:
        raise MemberRefused(_("A reader belongs to a client: choose whose report it is."))
    return client


def _check_rank(actor: str, role: str) -> None:
    """By the roles that the actor has in the agency now, whatever they were before."""
    mine = Membership.objects.filter(user__email=actor, client=None).values_list("role", flat=True)
    if RANK[Role(role)] > max((RANK[Role(one)] for one in mine), default=-1):
        raise MemberRefused(_("Nobody invites to a role above their own."))


def find(token: str) -> Invitation | None:
    """The invitation of a token, open or not; its agency's scope is entered for the rest of the request."""
    for agency_id, pk in crossing.ask("invitation_by_digest", digest=token_digest(token)):
        with scope.agency_scope(agency_id):
            found: Invitation | None = Invitation.objects.select_related("agency", "client").filter(pk=pk).first()
        return found
    return None


@transaction.atomic
def accept(invitation: Invitation, user: User, now: datetime) -> Membership:
    """Inside the agency's scope. Raises `MemberRefused` when it is closed, or the inviter lost the right to it."""
    row = Invitation.objects.select_for_update().select_related(None).get(pk=invitation.pk)
    if not row.is_open(now):
        raise MemberRefused(_("This invitation was used, closed or is too old. Ask for a new one."))
    if row.email != user.email:
        raise MemberRefused(_("This invitation is made out to another address. Sign in with that one."))
    _check_rank(row.invited_by, row.role)
    if user.pk is None:
        user.save()
    client = invitation.client
    made = add_member(invitation.agency, user.email, row.role, user.email, now, client=client)
    row.accepted_at = now
    row.save(update_fields=["accepted_at"])
    return made


@transaction.atomic
def withdraw(invitation: Invitation, actor: str, now: datetime) -> None:
    invitation.revoked_at = now
    invitation.save(update_fields=["revoked_at"])
    AuditEvent.append(invitation.client or invitation.agency, actor, "member.uninvite", invitation.email, now)
