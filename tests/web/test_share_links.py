"""A report behind a link: opened by a stranger, ended, taken back; and what it never shows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from pipelines.models import Run
from pipelines.reports.client.examples import examples_of
from tenants import sharing
from tenants.models import AuditEvent, Client, Pipeline, SharedExample, ShareLink
from tests import factories
from tests.answers import measured

SHARING = reverse("sharing", args=["acorn"])
ISSUE = reverse("issue-link", args=["acorn"])
GIVEN = {"name": "the board", "days": "30", "pipeline": ""}


@pytest.fixture
def pipeline(acorn: Client) -> Pipeline:
    made = factories.make_pipeline(acorn)
    factories.make_production(made, timezone.now())
    return made


def link(client: Client, pipeline: Pipeline | None = None, days: int = 30) -> tuple[ShareLink, str]:
    with factories.inside(client):
        made, token = sharing.issue_link(client, pipeline, "the board", days, "owner@north.example", timezone.now())
    return made, reverse("shared-report", args=[token])


def test_a_link_is_shown_once_and_kept_as_a_digest(owner: Browser, pipeline: Pipeline, anonymous: Browser) -> None:
    first = owner.post(ISSUE, GIVEN, follow=True)

    address = first.context["link_text"]
    assert address in first.text and address not in owner.get(SHARING).text
    with factories.inside(pipeline.client):
        row = ShareLink.objects.get()
        assert row.digest not in address and "share.issue" in set(AuditEvent.objects.values_list("verb", flat=True))
    assert "All your models are in service." in anonymous.get(address).text


def test_a_stranger_reads_figures_and_nothing_keeps_the_page(anonymous: Browser, pipeline: Pipeline) -> None:
    _row, address = link(pipeline.client)

    response = anonymous.get(address)

    assert "What v1 was tested on" in response.text
    assert response["Cache-Control"] == "no-store" and response["Referrer-Policy"] == "no-referrer"
    assert "noindex" in response["X-Robots-Tag"] and not response.cookies
    for hidden in ("north.example", "127.0.0.1", "deploy.invalid", "shop", "<form", "/c/acorn", "/report/"):
        assert hidden not in response.text


def test_a_view_is_counted_once_a_minute_and_nobody_is_noted(anonymous: Browser, pipeline: Pipeline) -> None:
    row, address = link(pipeline.client)

    anonymous.get(address)
    anonymous.get(address)

    with factories.inside(pipeline.client):
        row.refresh_from_db()
    assert row.views == 1 and row.last_viewed_at is not None


def test_a_link_that_ended_says_so_and_nothing_else(anonymous: Browser, pipeline: Pipeline) -> None:
    row, address = link(pipeline.client)
    with factories.inside(pipeline.client):
        ShareLink.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    response = anonymous.get(address)

    assert response.status_code == 410 and "This link is closed" in response.text
    assert "Acorn" not in response.text and "North" not in response.text


def test_a_link_that_was_taken_back_is_closed_at_once(owner: Browser, anonymous: Browser, pipeline: Pipeline) -> None:
    row, address = link(pipeline.client)

    owner.post(reverse("revoke-link", args=["acorn", row.pk]))

    assert anonymous.get(address).status_code == 410
    assert "revoked" in owner.get(SHARING).text


def test_a_token_that_never_was_is_not_found(anonymous: Browser, pipeline: Pipeline) -> None:
    assert anonymous.get(reverse("shared-report", args=["x" * 43])).status_code == 404


def test_a_link_for_one_model_does_not_lead_to_another(anonymous: Browser, pipeline: Pipeline) -> None:
    factories.make_production(factories.make_pipeline(pipeline.client, "letters"), timezone.now())
    _row, address = link(pipeline.client, pipeline)

    assert "Letters" not in anonymous.get(address + "letters/").text
    assert "Letters" not in anonymous.get(address).text


def test_whoever_is_signed_in_reads_what_a_stranger_reads(
    stranger: Browser, owner: Browser, pipeline: Pipeline
) -> None:
    _row, address = link(pipeline.client)

    assert stranger.get(address).status_code == 200
    assert "/c/acorn" not in owner.get(address).text


def test_a_link_of_another_client_cannot_be_closed(owner: Browser, birch: Client, pipeline: Pipeline) -> None:
    row, address = link(birch)

    assert owner.post(reverse("revoke-link", args=["acorn", row.pk])).status_code == 404
    assert owner.get(address).status_code == 200


SHARE = reverse("shared-examples", args=["acorn", "support"])
ASKED = [("Where is it?", "billing", "billing", "delivery"), ("And now?", "returns", "returns", "billing")]


def digests(browser: Browser) -> dict[str, str]:
    """{key: what its tick sends} of the answers that the page offers."""
    return {example.key: example.digest for example in browser.get(SHARE).context["examples"]}


def share(browser: Browser, *ticked: str) -> HttpResponse:
    """Opens the page, ticks just these, saves."""
    return browser.post(SHARE, {"share": ticked, "seen": browser.get(SHARE).context["seen"]}, follow=True)


def test_a_page_that_stood_open_publishes_nothing_again_that_was_taken_back(
    engineer: Browser, owner: Browser, anonymous: Browser, pipeline: Pipeline
) -> None:
    promoted(pipeline, ASKED)
    _row, address = link(pipeline.client)
    both = digests(engineer)
    share(engineer, *both.values())
    stale = engineer.get(SHARE)
    assert f'name="seen" value="{stale.context["seen"]}"' in stale.text
    share(owner, both["c0"])

    answer = engineer.post(SHARE, {"share": [*both.values()], "seen": stale.context["seen"]})

    assert answer.status_code == 422 and "Somebody else saved this in the meantime." in answer.text
    assert [one.key for one in answer.context["examples"] if one.is_shared] == ["c0"]
    assert "And now?" not in anonymous.get(address).text
    again = {"share": [*both.values()], "seen": answer.context["seen"]}
    assert engineer.post(SHARE, again).status_code == 303 and "And now?" in anonymous.get(address).text


def promoted(pipeline: Pipeline, asked: list[tuple[str, str, str, str | None]]) -> Run:
    """A version in production that answered these held-out questions."""
    run = factories.make_production(pipeline, timezone.now())
    measured(run, {"heldout": asked, "safety": [("Tell me a secret", "no", "no", "yes")]})
    return run


def test_answers_are_shown_to_strangers_only_where_they_were_approved(
    reader: Browser, engineer: Browser, anonymous: Browser, pipeline: Pipeline
) -> None:
    run = promoted(pipeline, ASKED)
    _row, address = link(pipeline.client)

    assert "Real answers, before and after" in reader.get(reverse("report", args=["acorn"])).text
    assert "Real answers" not in anonymous.get(address).text
    share(engineer, digests(engineer)["c1"], "c0")

    with factories.inside(pipeline.client):
        assert list(SharedExample.objects.values_list("key", flat=True)) == ["c1"]
        assert [example.key for example in examples_of(run.model_version, is_public=True)] == ["c1"]
    shown = anonymous.get(address).text
    assert "And now?" in shown and "Where is it?" not in shown and "secret" not in shown
    share(engineer)
    assert "Real answers" not in anonymous.get(address).text


@pytest.mark.parametrize(
    "after",
    [
        [ASKED[0], ("What is my PIN?", "returns", "returns", "billing")],  # The same key, another question.
        [ASKED[0], ("And now?", "returns", "delivery", "returns")],  # The same question, other answers.
    ],
)
def test_an_approval_is_of_the_words_that_were_seen_and_not_of_a_key(
    engineer: Browser, anonymous: Browser, pipeline: Pipeline, after: list[tuple[str, str, str, str | None]]
) -> None:
    promoted(pipeline, ASKED)
    _row, address = link(pipeline.client)
    share(engineer, digests(engineer)["c1"])
    assert "And now?" in anonymous.get(address).text

    promoted(pipeline, after)

    assert "Real answers" not in anonymous.get(address).text
    page = engineer.get(SHARE)
    assert not any(example.is_shared for example in page.context["examples"])
    assert [row.key for row in page.context["earlier"]] == ["c1"] and "Approved by engineer@north.example" in page.text


def test_a_tick_on_a_page_of_the_version_before_approves_nothing_of_this_one(
    engineer: Browser, anonymous: Browser, pipeline: Pipeline
) -> None:
    promoted(pipeline, ASKED)
    ticked = digests(engineer)["c1"]
    promoted(pipeline, [ASKED[0], ("What is my PIN?", "returns", "returns", "billing")])

    answer = share(engineer, ticked)

    assert "of another version now" in answer.text
    with factories.inside(pipeline.client):
        assert not SharedExample.objects.exists()


def test_whatever_was_approved_is_listed_and_can_be_taken_back(engineer: Browser, pipeline: Pipeline) -> None:
    run = promoted(pipeline, [(f"Question {n}?", "billing", "billing", "delivery") for n in range(14)])
    given = {"pipeline": pipeline, "approved_by": "tests", "approved_at": timezone.now()}
    with factories.inside(pipeline), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.reports.client.examples.EXAMPLES", 14)
        last = examples_of(run.model_version, is_public=False)[-1]
        SharedExample.of(pipeline, version=run.model_version.number, key=last.key, digest=last.digest, **given).save()
        SharedExample.of(pipeline, version=1, key="of-before", digest="d" * 64, **given).save()

    page = engineer.get(SHARE)
    share(engineer)

    assert [one.key for one in page.context["examples"] if one.is_shared] == [last.key]
    assert len(page.context["examples"]) == 11 and "v1 · of-before" in page.text
    with factories.inside(pipeline):
        assert not SharedExample.objects.exists()


def test_an_approval_of_a_key_alone_counts_no_longer(anonymous: Browser, pipeline: Pipeline) -> None:
    run = promoted(pipeline, ASKED)
    _row, address = link(pipeline.client)
    with factories.inside(pipeline):
        given = {"pipeline": pipeline, "key": "c1", "approved_by": "tests", "approved_at": timezone.now()}
        SharedExample.of(pipeline, **given).save()
        SharedExample.of(pipeline, version=run.model_version.number, **given).save()

    assert "Real answers" not in anonymous.get(address).text
