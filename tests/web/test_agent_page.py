"""A host behind its agent: added with a token that is shown once; its page says how the agent does."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from agency.machines.programs import AGENT, offered
from pipelines.machines.agents import troubled
from pipelines.models import Placement
from pipelines.shipping.route import flip
from tenants.machines import agents
from tenants.models import AuditEvent, Client, Host, HostAgent
from tests import factories

ADD, HERE = reverse("add-agent-host", args=["acorn"]), reverse("host", args=["acorn", "office"])
SAID = {"version": "0.1.0", "ollama": "0.33.0", "is_ollama_up": True, "serial": 0, "records": 7, "port": 8430}


def token_on(page: str) -> str:
    found = re.search(r"RETUNE_TOKEN=(ra_[\w-]+)", page)
    assert found is not None
    return found[1]


@pytest.fixture
def token(engineer: Browser, acorn: Client) -> str:
    """Of the host `office`, as its page showed it."""
    answer = engineer.post(ADD, {"name": "office"})
    assert (answer.status_code, answer["Location"]) == (303, HERE)
    return token_on(engineer.get(HERE).text)


def row_of(acorn: Client) -> HostAgent:
    with factories.inside(acorn):
        return HostAgent.objects.select_related("host").get()


def test_a_token_is_shown_once_with_the_line_to_run(engineer: Browser, acorn: Client, token: str) -> None:
    assert agents.agent_of(token) == row_of(acorn)
    text = engineer.get(HERE).text
    assert token not in text and "never" in text and "behind its agent" in text
    assert "How it lets us in" not in text
    assert "behind its agent" in engineer.get(reverse("client", args=["acorn"])).text


@pytest.mark.parametrize(("name", "sentence"), [("", "required"), ("Office 1", "valid"), ("shop", "already")])
def test_what_cannot_be_added_is_refused(engineer: Browser, acorn: Client, name: str, sentence: str) -> None:
    factories.make_host(acorn)
    answer = engineer.post(ADD, {"name": name})
    assert answer.status_code == 422 and sentence in answer.text


def test_the_page_says_what_the_agent_said_and_how_far_behind_it_serves(
    engineer: Browser, acorn: Client, token: str
) -> None:
    version = factories.make_production(factories.make_pipeline(acorn)).model_version
    row = row_of(acorn)
    with factories.inside(acorn):
        placed = {"version": version, "host": row.host, "model_name": "x", "placed_at": timezone.now()}
        Placement.objects.get_or_create(
            version=version, host=row.host, defaults=placed | {"client": acorn, "agency_id": acorn.agency_id}
        )
        serial = flip(version, timezone.now()).serial
        agents.note_seen(row, timezone.now(), SAID)
        behind = engineer.get(HERE).text
        agents.note_seen(row, timezone.now(), SAID | {"serial": serial, "ollama": "", "dropped": 3})
        newest = engineer.get(HERE).text
    assert "1 pipeline behind" in behind and "0.33.0" in behind and "8430" in behind
    assert "the newest routes" in newest and "does not answer" in newest and "3 dropped" in newest


def test_the_clients_page_says_where_its_programs_ask(viewer: Browser, acorn: Client, token: str) -> None:
    """Beside a host behind NAT where its agent says that it listens, and here only while we reach a host ourselves."""
    factories.make_pipeline(acorn)
    with factories.inside(acorn):
        agents.note_seen(row_of(acorn), timezone.now(), SAID | {"address": "0.0.0.0"})
    both = viewer.get(reverse("client", args=["acorn"])).context["gateways"]
    assert [one.host for one in both] == ["", "office"]

    with factories.inside(acorn):
        Host.objects.exclude(name="office").update(is_enabled=False)
    page = viewer.get(reverse("client", args=["acorn"]))
    assert [one.url for one in page.context["gateways"]] == ["http://MACHINE-OF-OFFICE:8430"]
    assert "curl http://MACHINE-OF-OFFICE:8430/api/chat" in page.text


def test_a_new_token_ends_the_old_one_and_a_revoked_one_opens_nothing(
    engineer: Browser, acorn: Client, token: str
) -> None:
    engineer.post(reverse("renew-agent", args=["acorn", "office"]), {"reason": "a laptop was lost"})
    renewed = token_on(engineer.get(HERE).text)
    assert (agents.agent_of(token), agents.agent_of(renewed)) == (None, row_of(acorn))
    engineer.post(reverse("revoke-agent", args=["acorn", "office"]), {"reason": "the client left"})
    assert agents.agent_of(renewed) is None
    assert "revoked" in engineer.get(HERE).text
    with factories.inside(acorn):
        lines = AuditEvent.objects.filter(verb__startswith="host.agent").order_by("seq")
        assert [(line.verb, line.detail["reason"]) for line in lines] == [
            ("host.agent.renew", "a laptop was lost"), ("host.agent.revoke", "the client left"),
        ]  # fmt: skip
        assert renewed not in str([line.detail for line in lines])


def test_a_host_that_we_call_ourselves_has_no_token(engineer: Browser, acorn: Client) -> None:
    factories.make_host(acorn)
    assert "Its agent" not in engineer.get(reverse("host", args=["acorn", "shop"])).text
    assert engineer.get(reverse("renew-agent", args=["acorn", "shop"])).status_code == 404


def test_one_that_came_from_another_installation_is_given_its_first_token(
    engineer: Browser, acorn: Client, token: str
) -> None:
    with factories.inside(acorn):
        HostAgent.objects.all().delete()
    assert "New token" in engineer.get(HERE).text
    engineer.post(reverse("renew-agent", args=["acorn", "office"]), {"reason": "moved here"})
    assert agents.agent_of(token_on(engineer.get(HERE).text)) == row_of(acorn)


def test_a_viewer_sees_the_state_and_is_offered_no_order(viewer: Browser, acorn: Client, token: str) -> None:
    text = viewer.get(HERE).text
    assert "Its agent" in text and "New token" not in text and "RETUNE_TOKEN" not in text


def test_another_program_is_named_with_the_line_that_brings_the_right_one(
    engineer: Browser, acorn: Client, token: str
) -> None:
    ours = offered(AGENT).digest
    with factories.inside(acorn):
        agents.note_seen(row_of(acorn), timezone.now(), SAID | {"program": ours})
        assert "the one that belongs here" in engineer.get(HERE).text
        agents.note_seen(row_of(acorn), timezone.now(), SAID | {"program": "0" * 64})
    text = engineer.get(HERE).text
    line = "RETUNE_TOKEN_FILE=... venv/bin/python retune-agent.pyz update"
    assert f"RETUNE_URL=http://testserver {line}" in text and ours[:8] in text
    said = StringIO()
    with pytest.raises(CommandError):
        call_command("doctor", stdout=said)
    assert "another program than the one here: office" in said.getvalue() and line in said.getvalue()


def test_the_doctor_names_an_agent_that_was_not_heard_of_for_long(acorn: Client, token: str) -> None:
    with factories.inside(acorn):
        agents.note_seen(row_of(acorn), timezone.now() - timedelta(hours=1), SAID)
    said = StringIO()
    with pytest.raises(CommandError):
        call_command("doctor", stdout=said)
    assert "not heard of: office" in said.getvalue()


def test_one_that_was_never_heard_of_is_no_fault_yet(acorn: Client, token: str) -> None:
    assert troubled(timezone.now() + timedelta(days=1), "") == {}
