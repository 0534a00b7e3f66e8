"""The first visit: a token from the console founds the agency, once."""

from __future__ import annotations

import stat
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from agency.embedded import setup_token
from agency.management.commands import up
from tenants.models import Agency, User

GIVEN = {"name": "North Agency", "slug": "north", "email": "owner@north.example", "password": "correct horse battery"}


@pytest.fixture
def token(db: None) -> str:
    setup_token.forget()
    return setup_token.current()


def test_everything_leads_to_the_setup_while_there_is_no_agency(token: str, anonymous: Browser) -> None:
    assert anonymous.get("/", follow=True).redirect_chain[-1][0] == reverse("setup")
    assert anonymous.get(reverse("gate-log"), follow=True).redirect_chain[-1][0] == reverse("setup")


def test_the_token_founds_the_agency_and_signs_its_owner_in(token: str, anonymous: Browser) -> None:
    response = anonymous.post(reverse("setup"), GIVEN | {"token": token}, follow=True)

    assert response.redirect_chain[-1][0] == reverse("wizard-client")
    assert Agency.objects.get().name == "North Agency"
    assert User.objects.get().check_password(GIVEN["password"])


def test_a_wrong_token_founds_nothing_and_keeps_what_was_typed(token: str, anonymous: Browser) -> None:
    response = anonymous.post(reverse("setup"), GIVEN | {"token": "guess"})

    assert response.status_code == 422
    assert "not the token" in response.text and "North Agency" in response.text
    assert not Agency.objects.exists()


def test_a_weak_password_is_refused_beside_its_field(token: str, anonymous: Browser) -> None:
    response = anonymous.post(reverse("setup"), GIVEN | {"token": token, "password": "short"})

    assert "password" in response.context["form"].errors
    assert not Agency.objects.exists()


def test_the_setup_is_closed_once_there_is_an_agency(token: str, agency: Agency, anonymous: Browser) -> None:
    assert anonymous.get(reverse("setup")).status_code == 404
    assert anonymous.post(reverse("setup"), GIVEN | {"token": token}).status_code == 404


def test_the_invitation_names_the_token_and_ends_with_the_first_agency(token: str) -> None:
    said = setup_token.invitation("http://127.0.0.1:9000")
    assert token in said and "http://127.0.0.1:9000/setup/" in said
    Agency.objects.create(name="North", slug="north", created_at="2026-03-03T04:00:00Z")
    assert setup_token.invitation("http://127.0.0.1:9000") == ""


def test_only_the_servers_user_can_read_the_token(token: str) -> None:
    assert stat.S_IMODE(setup_token.path().stat().st_mode) == 0o600


def test_a_reader_starts_at_the_clients_report(reader: Browser) -> None:
    assert reader.get("/")["Location"] == reverse("report", args=["acorn"])


def test_the_address_follows_the_port_unless_one_is_set(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    assert up.address(9000) == "http://127.0.0.1:9000"

    monkeypatch.setenv("RETUNE_BASE_URL", "https://retune.example")
    settings.BASE_URL = "https://retune.example"

    assert up.address(9000) == "https://retune.example"
