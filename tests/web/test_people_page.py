"""The people of an agency: listed, given another role, removed; never without an owner."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from tenants import actions, scope, sharing
from tenants.models import Agency, ApiKey, AuditEvent, Client, Invitation, Membership, Role
from tenants.people import invitations
from tests import factories

PEOPLE = reverse("people")
GIVEN = {"email": "New@north.example", "role": "engineer"}


def member(agency: Agency, email: str) -> Membership:
    with scope.agency_scope(agency.pk):
        found: Membership = Membership.objects.select_related("user").get(user__email=email)
    return found


def acts(agency: Agency, client: Client | None, verb: str) -> list[tuple[str, str, dict[str, str]]]:
    with scope.agency_scope(agency.pk):
        rows = AuditEvent.objects.filter(client=client, verb=verb).order_by("seq")
        return [(row.actor, row.subject, row.detail) for row in rows]


def remove(browser: Browser, who: Membership, reason: str = "left us") -> object:
    return browser.post(reverse("remove-person", args=[who.pk]), {"reason": reason}, follow=True)


def test_staff_and_readers_are_listed_with_role_client_and_last_visit(
    owner: Browser, viewer: Browser, reader: Browser, acorn: Client
) -> None:
    text = viewer.get(PEOPLE).text

    assert "owner@north.example" in text and "reader@north.example" in text
    assert reverse("client", args=["acorn"]) in text
    assert "<time" in text
    assert "Invite a person" not in text and "/remove/" not in text


def test_nobody_of_another_agency_is_listed(owner: Browser, stranger: Browser) -> None:
    assert "owner@south.example" not in owner.get(PEOPLE).text


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"role": "reader"}, "client", "choose whose report"),
        ({"role": "owner", "client": "acorn"}, "client", "An owner sees every client"),
        ({"email": "OWNER@north.example"}, "email", "already"),
        ({"role": "king"}, "role", "king"),
        ({"role": "reader", "client": "cedar"}, "client", "cedar"),
    ],
)
def test_a_person_who_cannot_be_is_refused_beside_the_field(
    owner: Browser, acorn: Client, cedar: Client, change: dict[str, str], field: str, sentence: str
) -> None:
    response = owner.post(PEOPLE, GIVEN | change)

    assert response.status_code == 422
    assert sentence in str(response.context["form"].errors[field])
    assert (GIVEN | change)["email"] in response.text  # What was typed is kept.


def test_who_is_removed_is_out_with_the_next_click_and_it_is_audited(
    owner: Browser, engineer: Browser, agency: Agency
) -> None:
    assert engineer.get(PEOPLE).status_code == 200

    remove(owner, member(agency, "engineer@north.example"))

    assert engineer.get(PEOPLE).status_code == 302  # To the sign-in: the session is over.
    assert acts(agency, None, "member.remove") == [
        ("owner@north.example", "engineer@north.example", {"role": "engineer", "reason": "left us"})
    ]


def test_a_reader_is_removed_by_an_owner(owner: Browser, reader: Browser, acorn: Client) -> None:
    remove(owner, member(acorn.agency, "reader@north.example"))

    assert reader.get(reverse("report", args=["acorn"]))["Location"].startswith("/login/")
    assert [act[1] for act in acts(acorn.agency, acorn, "member.remove")] == ["reader@north.example"]


def test_the_last_owner_stays(owner: Browser, agency: Agency) -> None:
    myself = member(agency, "owner@north.example")

    response = remove(owner, myself)

    assert response.status_code == 422 and "The last owner stays" in response.text  # type: ignore[attr-defined]
    assert owner.get(PEOPLE).status_code == 200


def test_an_owner_can_go_when_there_is_another(owner: Browser, agency: Agency) -> None:
    factories.make_member(agency, Role.OWNER, email="second@north.example")

    remove(owner, member(agency, "owner@north.example"))

    assert owner.get(PEOPLE).status_code == 302
    with scope.agency_scope(agency.pk), pytest.raises(actions.MemberRefused, match="last owner"):
        actions.remove_member(member(agency, "second@north.example"), "tests", factories.NOW)


def test_the_owners_of_another_agency_do_not_count(owner: Browser, stranger: Browser, agency: Agency) -> None:
    assert remove(owner, member(agency, "owner@north.example")).status_code == 422  # type: ignore[attr-defined]


def test_a_removal_without_a_reason_is_refused(owner: Browser, engineer: Browser, agency: Agency) -> None:
    remove(owner, member(agency, "engineer@north.example"), " ")

    assert engineer.get(PEOPLE).status_code == 200


def change_role(browser: Browser, who: Membership, role: str) -> str:
    said: str = browser.post(reverse("change-role", args=[who.pk]), {"role": role, "reason": "asked"}, follow=True).text
    return said


def test_another_role_ends_the_sessions_and_is_audited(owner: Browser, engineer: Browser, agency: Agency) -> None:
    assert engineer.get(PEOPLE).status_code == 200

    change_role(owner, member(agency, "engineer@north.example"), "viewer")

    assert engineer.get(PEOPLE).status_code == 302
    assert member(agency, "engineer@north.example").role == Role.VIEWER
    assert acts(agency, None, "member.role")[0][2] == {"role": ["engineer", "viewer"], "reason": "asked"}


def test_the_last_owner_keeps_the_role(owner: Browser, agency: Agency) -> None:
    assert "The last owner stays" in change_role(owner, member(agency, "owner@north.example"), "viewer")
    assert owner.get(PEOPLE).status_code == 200


def test_a_reader_is_not_made_staff(owner: Browser, reader: Browser, acorn: Client) -> None:
    assert "cannot be had here" in change_role(owner, member(acorn.agency, "reader@north.example"), "engineer")


def test_whoever_leaves_takes_keys_links_and_invitations_along(
    owner: Browser, agency: Agency, acorn: Client, anonymous: Browser
) -> None:
    factories.make_member(agency, Role.OWNER, email="second@north.example")
    with factories.inside(acorn):
        theirs, _text = actions.issue_key(acorn, "till", ["runs"], "second@north.example", factories.NOW)
        mine, _text = actions.issue_key(acorn, "desk", ["runs"], "owner@north.example", factories.NOW)
        _link, token = sharing.issue_link(acorn, None, "the board", 3650, "second@north.example", factories.NOW)
    with scope.agency_scope(agency.pk):
        given = {"actor": "second@north.example", "now": factories.NOW}
        invitations.invite(agency, "guest@north.example", Role.VIEWER, None, **given)

    response = remove(owner, member(agency, "second@north.example"))

    assert "2 keys and links of theirs are closed" in response.text  # type: ignore[attr-defined]
    assert anonymous.get(reverse("shared-report", args=[token])).status_code == 410
    with scope.agency_scope(agency.pk):
        assert set(ApiKey.objects.filter(revoked_at=None)) == {mine} and theirs.pk
        assert not Invitation.objects.filter(revoked_at=None).exists()


def test_staff_of_one_client_see_that_client_and_no_list_of_the_agency(
    agency: Agency, acorn: Client, birch: Client
) -> None:
    factories.make_pipeline(acorn)
    browser = Browser()
    browser.force_login(factories.make_member(agency, Role.ENGINEER, acorn, "only@north.example"))

    start = browser.get(reverse("overview"))

    assert "Acorn" in start.text and "Birch" not in start.text
    assert browser.get(reverse("pipeline", args=["acorn", "support"])).status_code == 200
    assert browser.post(reverse("pause", args=["acorn", "support"]), {"reason": "works"}).status_code == 303
    assert browser.get(reverse("client", args=["birch"])).status_code == 404
    for name in ("gate-log", "rollback-log", "agency-audit", "freezes", "people", "new-client"):
        assert browser.get(reverse(name)).status_code == 404
