"""Who is told of what: a pipeline's rules by kind of notice, on its settings page and in what is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import pytest
from django.http import QueryDict
from django.test import Client as Browser
from django.urls import reverse

from pipelines import outbox
from pipelines.models import Delivery, Notice, Run
from pipelines.reports.versions import way_back
from tenants import scope
from tenants.following.fields import is_own, without_own
from tenants.models import Channel, Client, SettingsRevision
from tenants.pipeline_settings import PipelineSettings
from tenants.telling.channels import Leads, add_channel
from tenants.telling.rules import NOTICE_KINDS, NoticeKind
from tests import factories
from tests.web.test_settings_page import typed

HERE = reverse("settings", args=["acorn", "support"])
USUAL, NIGHT = "team@north.example", "night@north.example"


@pytest.fixture
def channels(acorn: Client, birch: Client) -> None:
    """ops (held) and chat (nothing) of the agency, one of birch."""
    leads = Leads("http://127.0.0.1:9/hook")
    by: dict[str, Any] = {"actor": "owner@north.example", "now": factories.NOW}
    with scope.agency_scope(acorn.agency_id):
        add_channel(acorn.agency, ("ops", "slack"), leads, ["held"], **by)
        add_channel(acorn.agency, ("chat", "slack"), leads, [], **by)
        add_channel(birch, ("birch-only", "slack"), leads, ["held"], **by)


def told(run: Run, kind: str, **detail: Any) -> tuple[list[str], list[str]]:
    """(mailboxes, channels) of the notice that is written of it."""
    with factories.inside(run):
        notice = outbox.notify(run, kind, factories.NOW, detail)
        later = list(Notice.objects.filter(run=run, kind="reminder").values_list("recipients", flat=True))
    assert not later or later[0] == notice.recipients
    with scope.agency_scope(run.agency_id):
        names = Delivery.objects.filter(notice=notice).values_list("channel__name", flat=True)
        return notice.recipients, sorted(names)


def ruled(client: Client, **rules: Any) -> Run:
    made = factories.make_pipeline(client, recipients=[USUAL], notices=rules)
    return factories.make_run(made, at="deploy", status="held")


@pytest.mark.usefixtures("channels")
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, ([USUAL], ["ops"])),
        ({"mail": [NIGHT]}, ([NIGHT], ["ops"])),
        ({"mail": "nobody"}, ([], ["ops"])),
        ({"channels": "none"}, ([USUAL], [])),
        ({"channels": ["chat"]}, ([USUAL], ["chat"])),
        ({"mail": "nobody", "channels": ["chat", "ops"]}, ([], ["chat", "ops"])),
    ],
)
def test_a_rule_stands_in_the_place_of_what_is_usual(acorn: Client, rule: Any, expected: Any) -> None:
    assert told(ruled(acorn, held=rule), "held") == expected


@pytest.mark.usefixtures("channels")
def test_a_rule_is_for_its_kind_alone(acorn: Client) -> None:
    run = ruled(acorn, promoted={"mail": "nobody", "channels": ["chat"]})

    assert told(run, "promoted") == ([], ["chat"])
    assert told(run, "failed") == ([USUAL], [])


@pytest.mark.usefixtures("channels")
def test_what_is_over_goes_where_the_trouble_went(acorn: Client) -> None:
    run = ruled(acorn, failed={"mail": [NIGHT], "channels": ["chat"]})
    assert told(run, "failed") == ([NIGHT], ["chat"])

    with factories.inside(run):
        ended = outbox.tell_recovered(run.pipeline, "failed", factories.NOW + timedelta(hours=1))

    assert ended is not None and ended.recipients == [NIGHT]
    with scope.agency_scope(run.agency_id):
        assert Delivery.objects.get(notice=ended).channel.name == "chat"


def test_whoever_is_told_of_a_rollback_stands_in_its_dialog(acorn: Client) -> None:
    run = factories.make_production(
        factories.make_pipeline(acorn, recipients=[USUAL], notices={"rolled_back": {"mail": [NIGHT]}})
    )

    with factories.inside(run):
        assert way_back(run.pipeline, run.model_version).told == (NIGHT,)


@pytest.mark.usefixtures("channels")
def test_rules_are_written_on_the_form_and_read_back_in_sentences(engineer: Browser, acorn: Client) -> None:
    support = factories.make_pipeline(acorn, recipients=[USUAL])
    sent = QueryDict(mutable=True)
    asked = {"notices__held__mail": NIGHT, "notices__held__channels": "ops, chat", "notices__promoted__mail": "nobody"}
    for name, value in typed(support, **asked).items():
        sent.setlist(name, value if isinstance(value, list) else [value])

    given = {key: sent.getlist(key) for key in sent}
    review = engineer.post(HERE, given)
    seen = {"base": "1", "reviewed": review.context["save_form"]["reviewed"].value()}
    saved = engineer.post(HERE, given | seen | {"save": "1", "reason": "nights"}, follow=True)

    said = f"A mail to {NIGHT}, and a message to chat, ops. The same people again after 4 h. The owners after 1 d."
    assert said in review.text and "notices.held.mail" in review.text
    assert "Nobody is told: it only stands on the pages." in review.text
    with factories.inside(support):
        body = SettingsRevision.objects.get(pipeline=support, number=2).body
    assert body["notices"] == {
        "held": {"mail": [NIGHT], "channels": ["ops", "chat"]},
        "promoted": {"mail": "nobody", "channels": None},
    }
    assert f'value="{NIGHT}"' in saved.text and 'value="ops, chat"' in saved.text


@pytest.mark.usefixtures("channels")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"notices__held__mail": "nobody, a@north.example"}, "Write “nobody” alone, or leave it out."),
        ({"notices__held__mail": "not an address"}, "not a valid email address"),
        ({"notices__held__channels": "loud"}, "there is no channel loud. There are: chat, ops."),
        ({"notices__held__channels": "birch-only"}, "there is no channel birch-only. There are: chat, ops."),
    ],
)
def test_a_rule_that_cannot_work_is_refused_beside_its_field(
    engineer: Browser, acorn: Client, given: dict[str, str], said: str
) -> None:
    page = engineer.post(HERE, typed(factories.make_pipeline(acorn), **given))

    assert page.status_code == 422
    errors = page.context["form"].errors
    assert said in str([list(errors[name.replace("__", ".")]) for name in given])


@pytest.mark.usefixtures("channels")
def test_a_channel_that_is_off_is_said_to_be(owner: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn)
    with scope.agency_scope(acorn.agency_id):
        Channel.objects.filter(name="ops").update(disabled_at=factories.NOW)

    assert "ops is switched off." in owner.get(HERE).text


def test_rules_are_a_clients_own(acorn: Client) -> None:
    body = PipelineSettings(notices={"held": {"mail": [NIGHT]}}).model_dump(mode="json")

    assert is_own("notices.held.mail") and "notices" not in without_own(body, {})


def test_the_kinds_are_those_that_a_run_can_be_told_of() -> None:
    assert set(NOTICE_KINDS) == set(get_args(NoticeKind)) == set(outbox.OF_RUNS)
