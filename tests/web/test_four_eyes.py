"""Four eyes: where it is switched on nobody promotes or moves a threshold alone; keys and commands do not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from pipelines.actions import ActionRefused
from pipelines.actions.two_people import acts
from pipelines.models import Run
from tenants import scope
from tenants.models import Agency, AuditEvent, Client, Erasure, Membership, Pipeline, Proposal, Role
from tenants.people import four_eyes, roles
from tests import factories

REASON = {"reason": "the figures are good"}
OWNER, ENGINEER = "owner@north.example", "engineer@north.example"


@pytest.fixture
def pipeline(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


@pytest.fixture
def held(pipeline: Pipeline) -> Run:
    return factories.make_run(pipeline, at="compare", status="held")


@pytest.fixture
def two(agency: Agency) -> None:
    """Two people are asked for everything."""
    Agency.objects.filter(pk=agency.pk).update(two_for_promotion=True, two_for_thresholds=True)


def approve(run: Run) -> str:
    return reverse("decide", args=["acorn", "support", run.number, "approve"])


def answer(proposal: Proposal, name: str = "confirm") -> str:
    return reverse("decide-client-proposal", args=["acorn", proposal.pk, name])


def the_proposal() -> Proposal:
    with scope.agency_scope(Agency.objects.get(slug="north").pk):
        found: Proposal = Proposal.objects.latest("pk")
    return found


def run_now(run: Run) -> Run:
    with factories.inside(run):
        return Run.objects.get(pk=run.pk)


def acts_of(run: Run, *verbs: str) -> list[tuple[str, str]]:
    with factories.inside(run):
        rows = AuditEvent.objects.filter(verb__in=verbs).order_by("seq")
        return [(row.actor, row.verb) for row in rows]


def test_without_the_switch_one_person_approves(engineer: Browser, held: Run) -> None:
    engineer.post(approve(held), REASON)

    assert run_now(held).status == "queued"


def test_a_promotion_waits_for_a_second_person(owner: Browser, engineer: Browser, held: Run, two: None) -> None:
    assert "Two people decide this" in engineer.get(approve(held)).text
    engineer.post(approve(held), REASON)
    proposal = the_proposal()

    assert run_now(held).status == "held"
    page = owner.get(reverse("run", args=["acorn", "support", held.number])).text
    assert ENGINEER in page and "waits for a second person" in page and answer(proposal) in page
    assert "waits for a second person" in owner.get(reverse("overview")).text

    assert owner.post(answer(proposal), {"sure": "1"}).status_code == 303
    run = run_now(held)
    assert run.status == "queued"
    assert run.approvals["compare"][0] | {"at": ""} == {
        "by": ENGINEER, "confirmed_by": OWNER, "reason": "the figures are good", "at": "", "asked": held.reason,
    }  # fmt: skip
    assert acts_of(held, "proposal.make", "proposal.confirm", "run.approve") == [
        (ENGINEER, "proposal.make"), (OWNER, "proposal.confirm"), (ENGINEER, "run.approve"),
    ]  # fmt: skip


def test_the_proposer_cannot_confirm(engineer: Browser, held: Run, two: None) -> None:
    engineer.post(approve(held), REASON)

    response = engineer.post(answer(the_proposal()), {"sure": "1"})

    assert response.status_code == 422 and "ask somebody else" in response.text
    assert run_now(held).status == "held" and the_proposal().outcome == ""


def test_the_same_is_proposed_once(owner: Browser, engineer: Browser, held: Run, two: None) -> None:
    engineer.post(approve(held), REASON)

    assert "proposed this already" in owner.post(approve(held), REASON).text


def test_a_declined_proposal_changes_nothing(owner: Browser, engineer: Browser, held: Run, two: None) -> None:
    engineer.post(approve(held), REASON)
    owner.post(answer(the_proposal(), "decline"), {"reason": "look at the losses first"})

    assert run_now(held).status == "held"
    assert acts_of(held, "proposal.decline") == [(OWNER, "proposal.decline")]
    assert "decided already" in owner.post(answer(the_proposal()), {"sure": "1"}).text


def test_a_proposal_expires(owner: Browser, engineer: Browser, held: Run, two: None) -> None:
    engineer.post(approve(held), REASON)
    proposal = the_proposal()
    with factories.inside(held):
        Proposal.objects.update(expires_at=timezone.now() - timedelta(minutes=1))

    assert "expired" in owner.post(answer(proposal), {"sure": "1"}).text
    assert run_now(held).status == "held"
    assert "expired" in owner.get(reverse("client-four-eyes", args=["acorn"])).text
    assert "waits for a second person" not in owner.get(reverse("overview")).text


def test_a_run_that_went_on_is_not_approved_by_an_old_proposal(
    owner: Browser, engineer: Browser, held: Run, two: None
) -> None:
    engineer.post(approve(held), REASON)
    with factories.inside(held):
        Run.objects.filter(pk=held.pk).update(stage="deploy")

    response = owner.post(answer(the_proposal()), {"sure": "1"})

    assert response.status_code == 422 and "propose it anew" in response.text
    assert the_proposal().outcome == ""


def test_whoever_leaves_takes_proposals_along(owner: Browser, engineer: Browser, held: Run, two: None) -> None:
    engineer.post(approve(held), REASON)
    with scope.agency_scope(held.agency_id):
        member = Membership.objects.get(user__email=ENGINEER)
        roles.leave(member, OWNER, timezone.now(), "left")

    assert the_proposal().outcome == "withdrawn"


def propose_as(run: Run, actor: str) -> Callable[[], object]:
    def act() -> object:
        with factories.inside(run):
            return acts.propose_order(run, "approve", actor=actor, reason="x", now=timezone.now())

    return act


def test_a_key_neither_proposes_nor_confirms(engineer: Browser, held: Run, two: None) -> None:
    with pytest.raises(ActionRefused, match="no person of this agency"):
        propose_as(held, "robot (rk_1)")()
    engineer.post(approve(held), REASON)
    with factories.inside(held), pytest.raises(ActionRefused, match="no person of this agency"):
        acts.confirm(the_proposal(), actor="robot (rk_1)", now=timezone.now())

    assert run_now(held).status == "held"


def test_a_key_cannot_waive_a_gate(acorn: Client, pipeline: Pipeline, two: None) -> None:
    text = factories.make_key(acorn, "waivers")
    body = {"gate": "accuracy", "reason": "x", "days": 7}

    headers = {"Authorization": f"Bearer {text}", "Idempotency-Key": "one"}
    response = Browser().post("/rest/v1/pipelines/support/waivers", body, "application/json", headers=headers)

    assert response.status_code == 409 and "Two people decide" in response.text


def test_a_command_cannot_move_a_threshold(pipeline: Pipeline, two: None, tmp_path: object) -> None:
    import json

    body = dict(pipeline.revision.body) if pipeline.revision else {}
    body["monitor"] = body["monitor"] | {"duration_s": 3600}
    path = f"{tmp_path}/settings.json"
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"retune": 1, "pipeline": "support", "settings": body}, file)

    with pytest.raises(CommandError, match="Two people decide"):
        call_command("pipeline", "apply", "acorn/support", path, stdout=StringIO())


def test_a_waiver_waits_for_a_second_person(owner: Browser, engineer: Browser, pipeline: Pipeline, two: None) -> None:
    engineer.post(reverse("waive-gate", args=["acorn", "support"]), {"gate": "accuracy", "days": 7, "reason": "x"})
    page = reverse("pipeline-gates", args=["acorn", "support"])
    assert "in force" not in owner.get(page).text

    owner.post(answer(the_proposal()), {"sure": "1"})

    assert "in force" in owner.get(page).text


def propose_settings(pipeline: Pipeline, actor: str, **change: object) -> Proposal:
    with factories.inside(pipeline):
        body = factories.merged(pipeline.revision.body if pipeline.revision else {}, change)
        return acts.propose_settings(pipeline, body, actor=actor, reason="stricter", now=timezone.now())


def test_settings_that_two_people_want_become_a_revision(
    owner: Browser, engineer: Browser, pipeline: Pipeline, two: None
) -> None:
    proposal = propose_settings(pipeline, ENGINEER, data={"min_new_examples": 500})
    assert "data.min_new_examples" in owner.get(answer(proposal)).text

    owner.post(answer(proposal), {"sure": "1"})

    with factories.inside(pipeline):
        row = Pipeline.objects.select_related("revision").get(pk=pipeline.pk)
        assert row.revision is not None
        assert (row.revision.number, row.revision.author) == (2, ENGINEER)


def test_settings_that_changed_meanwhile_are_not_overwritten(
    owner: Browser, engineer: Browser, pipeline: Pipeline, two: None
) -> None:
    proposal = propose_settings(pipeline, ENGINEER, data={"min_new_examples": 500})
    with factories.inside(pipeline):
        from tenants.actions import change_settings

        free = factories.merged(pipeline.revision.body if pipeline.revision else {}, {"recipients": ["b@b.example"]})
        change_settings(pipeline, free, OWNER, timezone.now())

    assert "propose the change anew" in owner.post(answer(proposal), {"sure": "1"}).text


def test_recipients_are_no_threshold() -> None:
    assert not four_eyes.touches_thresholds(["recipients.0", "hosts.1", "recipe.rank"])
    assert four_eyes.touches_thresholds(["recipients.0", "gates.2.limit"])


def switch(browser: Browser, url: str, promotion: str, thresholds: str) -> object:
    return browser.post(url, {"promotion": promotion, "thresholds": thresholds, "erasure": "no", "reason": "policy"})


def test_it_is_switched_on_by_one_owner_and_off_by_two(owner: Browser, agency: Agency) -> None:
    boss = Browser()
    boss.force_login(factories.make_member(agency, Role.OWNER, email="boss@north.example"))
    url = reverse("four-eyes")
    switch(owner, url, "yes", "no")
    assert Agency.objects.get(pk=agency.pk).two_for_promotion

    switch(owner, url, "no", "no")
    assert Agency.objects.get(pk=agency.pk).two_for_promotion
    with scope.agency_scope(agency.pk):
        proposal = Proposal.objects.get()
    assert owner.post(reverse("decide-proposal", args=[proposal.pk, "confirm"]), {"sure": "1"}).status_code == 422
    assert boss.post(reverse("decide-proposal", args=[proposal.pk, "confirm"]), {"sure": "1"}).status_code == 303

    assert not Agency.objects.get(pk=agency.pk).two_for_promotion


def test_a_client_may_ask_two_where_its_agency_asks_one(owner: Browser, acorn: Client, birch: Client) -> None:
    switch(owner, reverse("client-four-eyes", args=["acorn"]), "yes", "")

    with scope.agency_scope(acorn.agency_id):
        rows = {row.slug: row for row in Client.objects.select_related("agency")}
    asked = {slug: four_eyes.asks(row, four_eyes.Topic.PROMOTION) for slug, row in rows.items()}
    assert asked == {"acorn": True, "birch": False}


def test_a_proposal_of_another_client_is_not_here(
    engineer: Browser, owner: Browser, held: Run, birch: Client, two: None
) -> None:
    engineer.post(approve(held), REASON)
    proposal = the_proposal()

    assert owner.post(reverse("decide-client-proposal", args=["birch", proposal.pk, "confirm"])).status_code == 404


def test_an_erasure_is_confirmed_on_the_clients_page(owner: Browser, acorn: Client, agency: Agency) -> None:
    Agency.objects.filter(pk=agency.pk).update(two_for_erasure=True)
    boss = Browser()
    boss.force_login(factories.make_member(agency, Role.OWNER, email="boss@north.example"))
    owner.post(reverse("erase-client", args=["acorn"]), {"name": "Acorn", "reason": "the contract ended"})
    proposal = the_proposal()

    assert "Erase the client" in boss.get(answer(proposal)).text
    assert "Erase the client" in boss.get(reverse("client-four-eyes", args=["acorn"])).text
    assert boss.post(answer(proposal), {"sure": "1"}).status_code == 303

    with scope.agency_scope(agency.pk):
        order = Erasure.objects.get()
        assert (order.ordered_by, order.confirmed_by) == (OWNER, "boss@north.example")
    assert the_proposal().outcome == "confirmed"
