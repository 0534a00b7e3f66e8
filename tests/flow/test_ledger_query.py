"""What served when, and what changed: read from the chain of acts by report, page, API and command."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from django.utils.timezone import now

from agency.portal.forms.fields import WallTimeField
from pipelines import actions
from pipelines.models import ModelVersion, Rollout
from pipelines.reports.changes.ledger import changed_between, served_at
from pipelines.shipping.promotion import promote
from tenants import scope
from tenants.actions import change_settings
from tenants.models import Pipeline, Role
from tests import factories
from tests.flow.test_line import promoted, start


def told(pipeline: Pipeline, at: datetime) -> tuple[str, str | None, float] | None:
    served = served_at(pipeline.client, at).picture.serving.get(pipeline.slug)
    if served is None:
        return None
    return served.production["version"], (served.candidate or {}).get("version"), served.share


def test_every_moment_of_a_pipeline_has_its_answer(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    at = [now()]
    add_rows(0, 30)
    promoted(pipeline)
    at.append(now())
    add_rows(1000, 30)
    run = start(pipeline)
    at.append(now())
    promote(Rollout.objects.get(run=run), now())
    at.append(now())
    actions.roll_back(pipeline, to=None, actor="owner", reason="a client complained", now=now())
    at.append(now())
    assert [told(pipeline, moment) for moment in at] == [
        None,
        ("v1", None, 0.0),
        ("v1", "v2", 0.05),
        ("v2", None, 0.0),
        ("v1", None, 0.0),
    ]
    answer = served_at(pipeline.client, at[3])
    version = ModelVersion.objects.select_related("dataset", "run__revision").get(number=2)
    facts = answer.picture.serving["support"].production
    assert facts["gguf"] == version.gguf_digest and facts["dataset"] == version.dataset.digest
    assert facts["template"] == version.template_digest and facts["hosts"] == ["shop"]
    assert facts["settings"] == f"r{version.run.revision.number} {version.run.revision.digest}"
    assert facts["gates"]["accuracy"] == "passed"
    assert answer.chain.broken == "" and served_at(pipeline.client, at[4]).picture.serving["support"].by == "owner"


def test_what_changed_names_each_fact_that_did(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    since = now()
    body = pipeline.settings.model_dump(mode="json") | {"recipients": ["other@north.example"]}
    change_settings(pipeline, body, "owner", now(), reason="new people")
    with scope.entered(None):
        factories.make_host(pipeline.client, "second")
    add_rows(1000, 30)
    promote(Rollout.objects.get(run=start(pipeline)), now())
    found = changed_between(pipeline.client, since, now() + timedelta(seconds=1))
    changed = {(one.what, one.name): (one.before, one.after) for one in found.differences}
    assert changed["production", "support version"] == ("v1", "v2")
    assert changed["settings", "support"] == ("r1", "r2")
    assert {"support gguf", "support dataset"} <= {name for what, name in changed if what == "production"}
    assert "settings.change" in [act.verb for act in found.acts]
    assert changed_between(pipeline.client, now(), now() + timedelta(seconds=1)).differences == []


# In Madrid the hour from two to three occurs twice on 25 October and not at all on 29 March.
@pytest.mark.parametrize("moment", ["2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-11-24T01:30Z", "2026-04-28T00:30Z"])
def test_the_page_opens_in_the_hour_in_which_the_clocks_are_changed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    moment_at = datetime.fromisoformat(moment)
    with scope.entered(None):
        browser = Browser()
        browser.force_login(factories.make_member(pipeline.client.agency, Role.VIEWER))
    with scope.client_scope(pipeline.client_id, pipeline.agency_id):
        type(pipeline.client).objects.filter(pk=pipeline.client_id).update(timezone="Europe/Madrid")
    monkeypatch.setattr("agency.portal.views.changes.ledger.timezone.now", lambda: moment_at)
    with scope.entered(None):
        page = browser.get(reverse("ledger", args=[pipeline.client.slug]))
    assert page.status_code == 200
    assert timedelta(0) <= page.context["at"] - moment_at < timedelta(hours=1, minutes=1)


@pytest.mark.parametrize(
    ("typed", "is_last", "meant"),
    [
        ("2026-10-25T02:30", False, "2026-10-25T00:30Z"),
        ("2026-10-25T02:30", True, "2026-10-25T01:30Z"),
        ("2026-03-29T02:30", False, "2026-03-29T01:30Z"),
        ("2026-07-01T12:00", False, "2026-07-01T10:00Z"),
        ("2026-07-01T12:00Z", False, "2026-07-01T12:00Z"),
    ],
)
def test_a_time_on_the_wall_is_one_moment(typed: str, is_last: bool, meant: str) -> None:
    with timezone.override("Europe/Madrid"):
        assert WallTimeField(is_last=is_last).clean(typed) == datetime.fromisoformat(meant)


def test_page_and_command_answer_alike(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    slug = pipeline.client.slug
    with scope.entered(None):
        browser = Browser()
        browser.force_login(factories.make_member(pipeline.client.agency, Role.VIEWER, email="vera@north.example"))
        page = browser.get(reverse("ledger", args=[slug]))
        early = browser.get(reverse("ledger", args=[slug]), {"since": "2020-01-01T00:00", "at": "2020-01-02T00:00"})
        wrong = browser.get(reverse("ledger", args=[slug]), {"since": "2030-01-01T00:00", "at": "2020-01-02T00:00"})
        out = StringIO()
        call_command("ledger", "at", client=slug, stdout=out)
        call_command("ledger", "changes", client=slug, since="2020-01-01T00:00Z", stdout=out)
        with pytest.raises(CommandError, match="is no time"):
            call_command("ledger", "at", client=slug, time="yesterday", stdout=out)
    assert "v1" in page.text and "is whole" in page.text and "vera@north.example" in page.text
    assert "Nothing served at that time" in early.text
    assert wrong.status_code == 422 and "must not be after" in wrong.text
    assert "production version: v1" in out.getvalue() and "people vera@north.example: viewer" in out.getvalue()
    assert "production support version: - -> v1" in out.getvalue()


def test_the_api_answers_without_the_agencys_people(pipeline: Pipeline, add_rows: Callable[..., None]) -> None:
    add_rows(0, 30)
    promoted(pipeline)
    with scope.entered(None):
        factories.make_member(pipeline.client.agency, Role.VIEWER, email="vera@north.example")
        headers = {"Authorization": f"Bearer {factories.make_key(pipeline.client, 'versions')}"}
        at = Browser().get("/rest/v1/ledger/at", headers=headers).json()
        changes = Browser().get("/rest/v1/ledger/changes?since=2020-01-01T00:00:00Z", headers=headers).json()
        naive = Browser().get("/rest/v1/ledger/at?time=2020-01-01T00:00:00", headers=headers)
    assert at["serving"]["support"]["production"]["version"] == "v1" and at["chain"]["broken"] == ""
    assert "vera@north.example" not in at["people"]
    assert ["production", "support version", "", "v1"] in [list(one.values()) for one in changes["differences"]]
    assert naive.status_code == 422
