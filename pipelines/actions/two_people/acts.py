"""Everything that can wait for a second person: how it is proposed, and how it is done once it is confirmed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from pipelines.actions.clients.erasure import check_order, order_erasure
from pipelines.actions.refused import ActionRefused
from pipelines.actions.runs import PROMOTING, approve, must_be_held
from pipelines.actions.shipping import on_its_way, promote_rollout
from pipelines.actions.waivers import check_waiver, waive_gate
from pipelines.models import Run
from tenants import scope
from tenants.actions import change_settings
from tenants.models import Agency, Client, Pipeline, Proposal
from tenants.people import four_eyes
from tenants.people.four_eyes import Place, Topic, TwoPeopleNeeded, Wish
from tenants.pipeline_settings import STORED, PipelineSettings


def confirm(proposal: Proposal, *, actor: str, now: datetime) -> None:
    """Does what was proposed. Raises `ActionRefused`, and then nothing happened and the proposal stays open."""
    try:
        with four_eyes.confirmed(proposal, actor=actor, now=now) as row:
            ACTS[row.kind](row, now)
    except (four_eyes.ProposalRefused, TwoPeopleNeeded) as refused:
        raise ActionRefused(str(refused)) from refused


def _propose(owner: Agency | Client | Pipeline, wish: Wish, actor: str, now: datetime) -> Proposal:
    try:
        return four_eyes.propose(owner, wish, actor=actor, now=now)
    except four_eyes.ProposalRefused as refused:
        raise ActionRefused(str(refused)) from refused


def takes_two(run: Run, name: str) -> bool:
    """Whether this order to a run (`approve`, `promote-now`) waits for a second person."""
    is_promotion = name == "promote-now" or (name == "approve" and run.stage in PROMOTING)
    return is_promotion and four_eyes.asks(run.pipeline.client, Topic.PROMOTION)


def propose_order(run: Run, name: str, *, actor: str, reason: str, now: datetime) -> Proposal:
    """Of an order that `takes_two`. Raises `ActionRefused` where it could not be done now by anybody."""
    if name == "approve":
        must_be_held(run, reason)
    else:
        on_its_way(run, reason)
    kind = "run.approve" if name == "approve" else "rollout.promote"
    wish = Wish(kind, f"{run.pipeline.slug} run {run.number}", reason, {"run": run.pk, "stage": run.stage})
    return _propose(run.pipeline, wish, actor, now)


def _run(row: Proposal) -> Run:
    run: Run = Run.objects.select_related("pipeline__client__agency").get(pk=row.payload["run"])
    if run.stage != row.payload["stage"]:
        raise ActionRefused(_("The run went on meanwhile: propose it anew if it is still wanted."))
    return run


def _approve(row: Proposal, now: datetime) -> None:
    approve(_run(row), actor=row.proposed_by, reason=row.reason, now=now)


def _promote(row: Proposal, now: datetime) -> None:
    promote_rollout(_run(row), actor=row.proposed_by, reason=row.reason, now=now)


def propose_settings(pipeline: Pipeline, body: dict[str, Any], *, actor: str, reason: str, now: datetime) -> Proposal:
    """A new revision, on the one that holds now. Raises pydantic's ValidationError and `ActionRefused`."""
    stored = PipelineSettings.model_validate(body).model_dump(mode="json")
    base = pipeline.revision.number if pipeline.revision else 0
    wish = Wish("settings.change", f"{pipeline.slug} r{base + 1}", reason or "–", {"body": stored, "base": base})
    return _propose(pipeline, wish, actor, now)


def _settings(row: Proposal, now: datetime) -> None:
    pipeline = _pipeline(row)
    if pipeline.revision is not None and pipeline.revision.number != row.payload["base"]:
        raise ActionRefused(_("The settings changed meanwhile: propose the change anew on what holds now."))
    wanted = PipelineSettings.model_validate(row.payload["body"], context=STORED)
    change_settings(pipeline, wanted.model_dump(mode="json"), row.proposed_by, now, row.reason)


def _pipeline(row: Proposal) -> Pipeline:
    found: Pipeline = Pipeline.objects.select_related("revision", "client__agency").get(pk=row.pipeline_id)
    return found


def propose_waiver(pipeline: Pipeline, gate: str, *, actor: str, reason: str, days: int, now: datetime) -> Proposal:
    """The days count from the confirmation. Raises `ActionRefused`."""
    check_waiver(pipeline, gate, reason=reason, expires_at=now + timedelta(days=days), now=now)
    wish = Wish("gate.waive", f"{pipeline.slug}/{gate}", reason, {"gate": gate, "days": days})
    return _propose(pipeline, wish, actor, now)


def _waive(row: Proposal, now: datetime) -> None:
    until = now + timedelta(days=row.payload["days"])
    waive_gate(_pipeline(row), row.payload["gate"], actor=row.proposed_by, reason=row.reason, expires_at=until, now=now)


def order_switch(
    place: Place, wanted: dict[Topic, bool | None], *, actor: str, reason: str, now: datetime
) -> Proposal | None:
    """Switches four eyes at once, or proposes it where fewer people would be asked than before."""
    if not four_eyes.lost(place, wanted):
        four_eyes.switch(place, wanted, actor, now, reason)
        return None
    payload = {topic.value: on for topic, on in wanted.items()}
    return _propose(place, Wish("four-eyes.switch", place.slug, reason, payload), actor, now)


def propose_erasure(client: Client, typed: str, *, actor: str, reason: str, now: datetime) -> Proposal:
    """Raises `ActionRefused`."""
    check_order(client, typed, reason)
    return _propose(client, Wish("client.erase", client.slug, reason, {"name": typed}), actor, now)


def _erase(row: Proposal, now: datetime) -> None:
    client = Client.objects.select_related("agency").get(pk=row.client_id)
    # The order is the agency's: it outlives the client, whose page this is confirmed on.
    with scope.agency_scope(row.agency_id):
        order_erasure(client, row.payload["name"], actor=row.proposed_by, reason=row.reason, now=now)


def _switch(row: Proposal, now: datetime) -> None:
    place: Place = Agency.objects.get(pk=row.agency_id)
    if row.client_id is not None:
        place = Client.objects.select_related("agency").get(pk=row.client_id)
    wanted = {topic: row.payload[topic.value] for topic in Topic if topic.value in row.payload}
    four_eyes.switch(place, wanted, row.proposed_by, now, row.reason)


ACTS: dict[str, Callable[[Proposal, datetime], None]] = {
    "run.approve": _approve,
    "rollout.promote": _promote,
    "settings.change": _settings,
    "gate.waive": _waive,
    "four-eyes.switch": _switch,
    "client.erase": _erase,
}
