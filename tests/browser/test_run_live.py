"""A live run followed to its end without a reload; decisions in a dialog; faults beside the page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Visitor
from django.utils import timezone
from playwright.sync_api import Page, expect

from agency.portal.views import runs as run_views
from pipelines.domain.transitions import RunStatus
from pipelines.models import Job, Run
from tenants.models import Client
from tests import factories
from tests.browser.conftest import Opener

HERE = "/c/acorn/support/runs/1/"
MARK = "window.stillTheSamePage"


def make(acorn: Client, at: str, status: str) -> Run:
    return factories.make_run(factories.make_pipeline(acorn), at=at, status=status)


def training(run: Run, share: float, note: str) -> None:
    with factories.inside(run):
        progress = {"progress": share, "note": note, "numbers": {"loss": 0.5}}
        fields = {"queue": "gpu", "status": "running", "attempts": 1, "progress": progress, "created_at": factories.NOW}
        made = Job.objects.filter(run=run).update(progress=progress)
        if not made:
            Job.of(run, run=run, stage="finetune", kind="train", **fields).save()


def marked(page: Page) -> Page:
    page.evaluate(f"{MARK} = true")
    return page


def test_a_live_run_is_followed_to_its_end_without_a_reload(
    transactional_db: None, acorn: Client, viewer: Visitor, open_page: Opener
) -> None:
    run = make(acorn, "finetune", "running")
    training(run, 0.2, "epoch 1 of 3")
    page = marked(open_page(viewer, HERE))
    expect(page.locator("progress")).to_have_attribute("value", "20")

    training(run, 0.8, "epoch 3 of 3")
    expect(page.locator("#run-live")).to_contain_text("epoch 3 of 3")

    with factories.inside(run):
        run.move(RunStatus.FAILED, "the trainer ran out of memory", timezone.now())
    expect(page.locator("#run-live > .call")).to_contain_text("The trainer ran out of memory")
    expect(page).to_have_title("failed · Run 1 · Support")
    expect(page.locator("#run-poll")).to_have_count(0)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2600)  # More than one interval of the poll that must be over.
    assert asked == [] and page.evaluate(MARK)


def test_a_dialog_and_what_is_typed_in_it_outlive_the_polls(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    make(acorn, "deploy", "held")
    page = marked(open_page(engineer, HERE))

    page.get_by_role("link", name="Approve").click()
    page.get_by_label("Reason").fill("looked at 30 answers")
    with page.expect_response(lambda response: response.url.endswith(HERE)):
        pass

    expect(page.locator("dialog")).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value("looked at 30 answers")
    expect(page.get_by_label("Reason")).to_be_focused()
    assert page.evaluate(MARK)


def test_a_decision_is_taken_in_the_dialog(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    run = make(acorn, "compare", "held")
    page = open_page(engineer, HERE)

    page.get_by_role("link", name="Reject").click()
    page.get_by_label("Reason").fill("too many odd answers")
    page.get_by_role("button", name="Reject").click()

    expect(page.locator("#run-live > .call")).to_contain_text("too many odd answers")
    with factories.inside(run):
        assert Run.objects.get(pk=run.pk).status == "rejected"


def test_a_refusal_stays_in_the_dialog_with_what_was_typed(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    run = make(acorn, "compare", "held")
    page = marked(open_page(engineer, HERE))
    page.get_by_role("link", name="Approve").click()
    page.get_by_label("Reason").fill("fine by me")
    with factories.inside(run):
        Run.objects.get(pk=run.pk).move(RunStatus.CANCELLED, "called off", timezone.now())

    page.get_by_role("button", name="Approve").click()

    expect(page.locator("dialog [role=alert]")).to_contain_text("Only a held run can be decided")
    expect(page.get_by_label("Reason")).to_have_value("fine by me")
    assert page.evaluate(MARK)


def test_the_token_travels_in_the_header_too(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    make(acorn, "compare", "held")
    page = open_page(engineer, HERE)
    page.get_by_role("link", name="Reject").click()
    page.get_by_label("Reason").fill("too many odd answers")
    page.evaluate("document.querySelectorAll('dialog [name=csrfmiddlewaretoken]').forEach((one) => one.remove())")

    page.get_by_role("button", name="Reject").click()

    expect(page.locator("#run-live > .call")).to_contain_text("too many odd answers")


def test_without_the_token_the_dialog_says_what_to_do(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    run = make(acorn, "compare", "held")
    page = open_page(engineer, HERE)
    page.get_by_role("link", name="Reject").click()
    page.get_by_label("Reason").fill("too many odd answers")
    page.context.clear_cookies(name="csrftoken")

    page.get_by_role("button", name="Reject").click()

    expect(page.locator("dialog [role=alert]")).to_contain_text("too old to be trusted")
    with factories.inside(run):
        assert Run.objects.get(pk=run.pk).status == "held"


def test_a_fault_is_told_beside_the_page_and_the_polling_goes_on(
    transactional_db: None, acorn: Client, viewer: Visitor, open_page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(acorn, "finetune", "running")
    page = marked(open_page(viewer, HERE))

    def broken(*_args: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(run_views, "run_page", broken)
        expect(page.locator("#flash [role=alert]")).to_contain_text("Something broke")
        expect(page.locator("#run-live .stages")).to_be_visible()
    training(run, 0.6, "epoch 2 of 3")

    expect(page.locator("#run-live")).to_contain_text("epoch 2 of 3")
    assert page.evaluate(MARK)


def test_without_scripts_a_run_is_read_and_decided_on_plain_pages(
    transactional_db: None, acorn: Client, engineer: Visitor, open_page: Opener
) -> None:
    make(acorn, "compare", "held")
    page = open_page(engineer, HERE, java_script_enabled=False)

    page.get_by_role("link", name="Reject").click()
    page.get_by_label("Reason").fill("too many odd answers")
    page.get_by_role("button", name="Reject").click()

    expect(page.locator("#run-live > .call")).to_contain_text("too many odd answers")
