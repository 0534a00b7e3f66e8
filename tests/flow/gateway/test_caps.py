"""Tokens of a month: what the meter wrote down bars a client at every gateway, until the cap or the month changes."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.timezone import now

from tenants import scope
from tenants.billing import caps
from tenants.models import CapKind
from tests import factories
from tests.flow.gateway.conftest import CHAT, Door, Ground
from tests.flow.gateway.double import wait_for


def cap(ground: Ground, tokens: int | None) -> None:
    agency = ground.client.agency
    with scope.agency_scope(agency.pk):
        caps.set_caps(agency, ground.client, dict.fromkeys(CapKind.values) | {"tokens": tokens}, "tests", now())


def barred(door: Door, ground: Ground) -> str:
    with factories.inside(ground.client):
        ground.flip(1)  # A route that changes has the client read at once, not in its turn.
    return door.gateway.follower.current.clients[ground.client.pk].barred


def test_a_client_whose_months_tokens_are_used_up_hears_so_in_both_formats(door: Door, ground: Ground) -> None:
    assert door.chat().status_code == 200  # An answer of the double takes 13 tokens.
    wait_for(lambda: door.gateway.meter.written >= 1)
    cap(ground, 13)
    wait_for(lambda: barred(door, ground))

    native, openai = door.chat(), door.post("/v1/chat/completions", CHAT)

    assert native.status_code == 429
    assert native.json()["error"].startswith("This client used 13 tokens this month of at most 13. Try again in ")
    at = datetime.now(UTC)
    assert 0 < int(native.headers["retry-after"]) <= 31 * 86_400 - (at.day - 1) * 86_400
    assert (openai.status_code, openai.json()["error"]["type"]) == (429, "rate_limit_error")
    assert door.get("/api/tags").status_code == 200, "lists are free"
    assert len(ground.double.asked) == 1

    cap(ground, 14)
    wait_for(lambda: not barred(door, ground))
    assert door.chat().status_code == 200
