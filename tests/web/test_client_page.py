"""A client's page: hosts, keys, people, the ledger."""

from __future__ import annotations

import re

from django.test import Client as Browser
from django.urls import reverse

from tenants.models import ApiKey, AuditEvent, Client, Host, Membership
from tenants.models.api_key import digest_of
from tenants.scope import agency_scope
from tests import factories


def test_a_keys_text_is_shown_once_and_kept_nowhere(owner: Browser, acorn: Client) -> None:
    response = owner.post(reverse("issue-key", args=["acorn"]), {"name": "shop", "verbs": ["examples"]}, follow=True)

    text = re.search(r"rk_[0-9a-f]{8}_[\w-]+", response.text)
    assert text is not None
    with factories.inside(acorn):
        assert ApiKey.objects.get().digest == digest_of(text[0])
    assert text[0] not in owner.get(reverse("client", args=["acorn"])).text


def test_a_key_without_a_verb_is_refused_beside_the_field(owner: Browser, acorn: Client) -> None:
    response = owner.post(reverse("issue-key", args=["acorn"]), {"name": "shop"})

    assert response.status_code == 422
    assert "verbs" in response.context["key_form"].errors


def test_a_revoked_key_stays_listed_as_revoked(owner: Browser, acorn: Client) -> None:
    factories.make_key(acorn)
    with factories.inside(acorn):
        prefix = ApiKey.objects.get().prefix

    response = owner.post(reverse("revoke-key", args=["acorn", prefix]), follow=True)

    assert "revoked" in response.text
    assert owner.post(reverse("revoke-key", args=["acorn", prefix])).status_code == 404


def test_a_host_that_does_not_answer_is_kept_and_says_why(engineer: Browser, acorn: Client) -> None:
    given = {"name": "shop", "url": "http://127.0.0.1:9"}

    response = engineer.post(reverse("add-host", args=["acorn"]), given, follow=True)

    assert "Host shop does not answer" in response.text
    with factories.inside(acorn):
        assert Host.objects.get().facts["error"]


def test_two_hosts_cannot_have_one_name(engineer: Browser, acorn: Client) -> None:
    factories.make_host(acorn)

    response = engineer.post(reverse("add-host", args=["acorn"]), {"name": "shop", "url": "http://127.0.0.1:9"})

    assert response.status_code == 422 and "already" in response.text


def test_a_reader_is_added_and_can_sign_in(owner: Browser, acorn: Client, anonymous: Browser) -> None:
    given = {"email": "people@acorn.example", "role": "reader", "password": "a long enough one"}

    owner.post(reverse("add-member", args=["acorn"]), given)
    signed_in = anonymous.post(
        reverse("login"), {"username": given["email"], "password": given["password"]}, follow=True
    )

    assert signed_in.redirect_chain[-1][0] == reverse("report", args=["acorn"])


def test_the_same_person_is_not_added_twice(owner: Browser, acorn: Client) -> None:
    given = {"email": "engineer-two@north.example", "role": "engineer", "password": "a long enough one"}

    owner.post(reverse("add-member", args=["acorn"]), given)
    again = owner.post(reverse("add-member", args=["acorn"]), given)

    assert again.status_code == 422 and "already" in again.text
    with agency_scope(acorn.agency_id):
        assert Membership.objects.filter(user__email=given["email"]).count() == 1


def test_a_viewer_is_offered_no_form(viewer: Browser, acorn: Client) -> None:
    factories.make_key(acorn)

    text = viewer.get(reverse("client", args=["acorn"])).text

    for name in ("add-host", "issue-key", "add-member"):
        assert reverse(name, args=["acorn"]) not in text
    assert "Revoke" not in text


def test_the_ledger_shows_who_did_what(owner: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn)
    with factories.inside(acorn):
        newest = AuditEvent.objects.filter(client=acorn).order_by("-seq").first()

    response = owner.get(reverse("audit", args=["acorn"]))

    assert newest is not None and newest.verb in response.text
    assert response.context["page"].object_list[0] == newest
