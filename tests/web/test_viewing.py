"""Looking as a client or as a member: what they see, nothing else, and nothing can be changed by any method."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from agency import viewing
from tenants import scope
from tenants.models import Agency, AuditEvent, Client, Membership, Role
from tests import factories

REPORT = reverse("report", args=["acorn"])
BANNER = "Nothing can be changed."


def as_client(browser: Browser) -> None:
    assert browser.post(reverse("view-client", args=["acorn"])).status_code == 303


def test_staff_see_what_a_reader_sees_under_a_banner(viewer: Browser, acorn: Client, birch: Client) -> None:
    as_client(viewer)

    assert BANNER in viewer.get(REPORT).text and "/c/acorn" not in viewer.get(REPORT).text
    assert viewer.get(reverse("client", args=["acorn"])).status_code == 404
    assert viewer.get(reverse("report", args=["birch"])).status_code == 404
    assert viewer.get(reverse("overview"))["Location"] == REPORT


def test_staff_of_a_named_client_see_what_its_readers_see(agency: Agency, acorn: Client, birch: Client) -> None:
    factories.make_pipeline(acorn)
    browser = Browser()
    browser.force_login(factories.make_member(agency, Role.ENGINEER, client=acorn))

    assert browser.post(reverse("view-client", args=["birch"])).status_code == 404
    as_client(browser)

    assert BANNER in browser.get(REPORT).text and "/c/acorn" not in browser.get(REPORT).text
    assert browser.post(reverse("pause", args=["acorn", "support"]), {"reason": "not me"}).status_code == 403
    browser.post(reverse("stop-viewing"))
    assert browser.get(reverse("client", args=["acorn"])).status_code == 200


def test_who_lost_the_client_sees_as_himself(agency: Agency, acorn: Client, birch: Client) -> None:
    browser = Browser()
    user = factories.make_member(agency, Role.ENGINEER, client=acorn)
    browser.force_login(user)
    as_client(browser)
    factories.make_member(agency, Role.ENGINEER, birch, user.email)
    with scope.agency_scope(agency.pk):
        Membership.objects.get(user=user, client=acorn).delete()

    assert browser.get(REPORT).status_code == 404
    assert BANNER not in browser.get(reverse("client", args=["birch"])).text


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_changed_by_any_method(owner: Browser, engineer: Browser, acorn: Client, method: str) -> None:
    factories.make_pipeline(acorn)
    with scope.agency_scope(acorn.agency_id):
        member = Membership.objects.get(user__email="engineer@north.example").pk
    owner.post(reverse("view-person", args=[member]))

    assert BANNER in owner.get(reverse("pipeline", args=["acorn", "support"])).text
    response = getattr(owner, method)(reverse("pause", args=["acorn", "support"]), {"reason": "not me"})
    assert response.status_code == 403


def test_it_ends_by_the_button_and_after_an_hour(viewer: Browser, acorn: Client) -> None:
    as_client(viewer)
    viewer.post(reverse("stop-viewing"))
    assert viewer.get(reverse("client", args=["acorn"])).status_code == 200

    as_client(viewer)
    session = viewer.session
    session[viewing.KEY] = session[viewing.KEY] | {"until": (timezone.now() - timedelta(seconds=1)).isoformat()}
    session.save()
    assert viewer.get(reverse("client", args=["acorn"])).status_code == 200


def test_it_stands_in_the_ledger(owner: Browser, acorn: Client) -> None:
    as_client(owner)

    with factories.inside(acorn):
        last = AuditEvent.objects.order_by("-seq")[0]
    assert (last.verb, last.actor) == ("view_as.start", "owner@north.example")


def test_who_may_no_longer_look_sees_as_himself(owner: Browser, engineer: Browser, acorn: Client) -> None:
    with scope.agency_scope(acorn.agency_id):
        mine = Membership.objects.get(user__email="owner@north.example")
        other = Membership.objects.get(user__email="engineer@north.example")
    owner.post(reverse("view-person", args=[other.pk]))
    with scope.agency_scope(acorn.agency_id):
        Membership.objects.filter(pk=mine.pk).update(role="viewer")

    assert BANNER not in owner.get(reverse("people")).text
