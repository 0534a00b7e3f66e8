"""Invitations: to one address, used once, never above the inviter's role, shown on GET and accepted on POST."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from tenants import scope
from tenants.actions import MemberRefused
from tenants.models import Agency, Client, Invitation, Membership, Role, User
from tenants.people import invitations

ACCOUNT = {"name": "Kay", "password": "a long enough one"}


def make(agency: Agency, email: str = "new@north.example", role: Role = Role.ENGINEER) -> str:
    with scope.agency_scope(agency.pk):
        given = {"actor": "owner@north.example", "now": timezone.now()}
        _row, token = invitations.invite(agency, email, role, None, **given)
    return reverse("invitation", args=[token])


def members(agency: Agency) -> set[tuple[str, str]]:
    with scope.agency_scope(agency.pk):
        return set(Membership.objects.values_list("user__email", "role"))


def test_an_invitation_is_mailed_to_its_address_with_a_link(owner: Browser, settings: object, acorn: Client) -> None:
    settings.EMAIL_HOST = "mail.example"  # type: ignore[attr-defined]

    owner.post(reverse("people"), {"email": "New@north.example", "role": "reader", "client": "acorn"})

    [message] = mail.outbox
    assert message.to == ["new@north.example"] and "/invitation/" in message.body
    assert "Acorn" in message.body and "North" in message.subject


def test_without_a_mail_server_the_link_is_shown_once(owner: Browser) -> None:
    shown = owner.post(reverse("people"), {"email": "new@north.example", "role": "viewer"}, follow=True)

    assert "/invitation/" in shown.text and "/invitation/" not in owner.get(reverse("people")).text


def test_a_new_person_makes_an_account_and_is_in(owner: Browser, agency: Agency, anonymous: Browser) -> None:
    address = make(agency)

    assert "North invites you" in anonymous.get(address).text
    assert ("new@north.example", "engineer") not in members(agency)  # A mail program that opens it accepts nothing.
    response = anonymous.post(address, ACCOUNT, follow=True)

    assert response.status_code == 200 and ("new@north.example", "engineer") in members(agency)
    assert User.objects.get(email="new@north.example").name == "Kay"


def test_it_works_once(owner: Browser, agency: Agency, anonymous: Browser) -> None:
    address = make(agency)
    anonymous.post(address, ACCOUNT)

    again = Browser().post(address, ACCOUNT)

    assert again.status_code == 410 and "This invitation is closed" in again.text


def test_another_address_cannot_use_it(owner: Browser, viewer: Browser, agency: Agency) -> None:
    address = make(agency)

    assert "You are signed in as viewer@north.example" in viewer.get(address).text
    assert "made out to another address" in viewer.post(address, {"x": "y"}, follow=True).text
    assert ("viewer@north.example", "engineer") not in members(agency)


def test_who_has_an_account_signs_in_first(
    owner: Browser, stranger: Browser, agency: Agency, anonymous: Browser
) -> None:
    address = make(agency, "owner@south.example")

    assert anonymous.post(address, ACCOUNT)["Location"] == f"/login/?next={address}"
    stranger.post(address, {"x": "y"})
    assert ("owner@south.example", "engineer") in members(agency)


@pytest.mark.parametrize("change", ["expired", "withdrawn"])
def test_what_is_closed_is_told_so(owner: Browser, agency: Agency, anonymous: Browser, change: str) -> None:
    address = make(agency)
    with scope.agency_scope(agency.pk):
        row = Invitation.objects.get()
        if change == "expired":
            Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if change == "withdrawn":
        owner.post(reverse("close-invitation", args=[row.pk]))

    assert anonymous.post(address, ACCOUNT).status_code == 410
    assert ("new@north.example", "engineer") not in members(agency)


def test_nobody_invites_above_their_own_role(viewer: Browser, agency: Agency) -> None:
    with scope.agency_scope(agency.pk), pytest.raises(MemberRefused, match="above their own"):
        given = {"actor": "viewer@north.example", "now": timezone.now()}
        invitations.invite(agency, "new@north.example", Role.ENGINEER, None, **given)


def test_an_inviter_who_lost_the_role_invites_nobody(owner: Browser, agency: Agency, anonymous: Browser) -> None:
    address = make(agency, role=Role.OWNER)
    with scope.agency_scope(agency.pk):
        Membership.objects.filter(user__email="owner@north.example").update(role=Role.ENGINEER)

    assert "above their own" in anonymous.post(address, ACCOUNT, follow=True).text
    assert ("new@north.example", "owner") not in members(agency)
    assert not User.objects.filter(email="new@north.example").exists()


def test_a_second_invitation_closes_the_first(owner: Browser, agency: Agency, anonymous: Browser) -> None:
    first, second = make(agency), make(agency)

    assert anonymous.get(first).status_code == 410 and anonymous.get(second).status_code == 200


def test_a_weak_password_is_refused_and_the_name_kept(owner: Browser, agency: Agency, anonymous: Browser) -> None:
    response = anonymous.post(make(agency), {"name": "Kay", "password": "short"})

    assert response.status_code == 422 and "Kay" in response.text
