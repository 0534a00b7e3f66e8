"""Memory preflight: known before anything is placed, shown with what a way back costs, and kept to."""

from __future__ import annotations

from django.utils.timezone import now

from pipelines import actions
from pipelines.domain.change.memory import Rung
from pipelines.engine import kernel
from pipelines.fleet.memory import preflight
from pipelines.models import Job, ModelVersion, Placement, Run
from pipelines.plan import PLAN
from pipelines.reports.runs import run_page
from pipelines.reports.versions import way_back
from tenants.models import Host, Pipeline
from tests import factories

MIB = 2**20


def give(memory_mib: float, loaded: dict[str, int]) -> Host:
    row = Host.objects.get(name="shop")
    row.memory_bytes = int(memory_mib * MIB)
    row.facts = {"loaded": [{"digest": digest, "size_bytes": size} for digest, size in loaded.items()]}
    row.save()
    return row


def versions(pipeline: Pipeline) -> tuple[ModelVersion, ModelVersion, Run]:
    """A candidate that the gates let through, production beside it on the host."""
    production = factories.make_production(pipeline).model_version
    run = factories.make_run(pipeline, at="deploy")
    Placement.objects.filter(version=production).update(facts={"manifest_digest": "aa"})
    return run.model_version, production, run


def test_what_the_host_says_is_counted(pipeline: Pipeline) -> None:
    candidate, production, _run = versions(pipeline)
    ModelVersion.objects.update(gguf_bytes=10 * MIB)
    candidate.refresh_from_db()
    row = give(100, {"aa": 30 * MIB, "other": 20 * MIB})

    found = preflight(candidate, production, [row])

    assert found.fit.rung is Rung.CO_RESIDENT and found.basis == "flip"
    assert found.rooms[0].others_bytes == 20 * MIB
    assert found.rooms[0].candidate.size_bytes == 30 * MIB, "as its sibling takes there"
    assert preflight(candidate, production, [give(70, {"aa": 30 * MIB, "other": 20 * MIB})]).fit.rung is (
        Rung.ONE_AT_A_TIME
    )


def test_without_room_for_both_the_run_is_held_with_what_a_rollback_would_cost(pipeline: Pipeline) -> None:
    _candidate, _production, run = versions(pipeline)
    ModelVersion.objects.update(gguf_bytes=400 * MIB)
    give(600, {"aa": 450 * MIB})

    kernel.advance(run.pk, PLAN, now)

    run.refresh_from_db()
    assert run.status == "held" and "one has to leave for the other" in run.reason
    assert "a rollback takes about 8 s" in run.reason
    assert not Job.objects.filter(run=run, kind__startswith="push:").exists()


def test_the_run_page_shows_it_before_the_rollout_starts(pipeline: Pipeline) -> None:
    _candidate, _production, run = versions(pipeline)
    ModelVersion.objects.update(gguf_bytes=400 * MIB)
    give(600, {"aa": 450 * MIB})
    room = run_page(run, now()).room

    assert room is not None and room.fit.rung is Rung.ONE_AT_A_TIME
    assert room.basis == "guessed" and 7 < room.rollback_s < 9


def test_the_way_back_tells_its_seconds(pipeline: Pipeline) -> None:
    _candidate, production, _run = versions(pipeline)

    assert way_back(pipeline, production).basis in ("flip", "guessed")
    assert way_back(pipeline, production).cost_s > 0


def test_an_approval_for_another_reason_does_not_stand_for_room(pipeline: Pipeline) -> None:
    _candidate, _production, run = versions(pipeline)
    ModelVersion.objects.update(gguf_bytes=400 * MIB)
    give(600, {"aa": 450 * MIB})
    Host.objects.update(drained_at=now())
    kernel.advance(run.pk, PLAN, now)
    Host.objects.update(drained_at=None)

    assert "every host is drained" in Run.objects.get(pk=run.pk).reason
    actions.approve(Run.objects.get(pk=run.pk), actor="owner", reason="it takes versions again", now=now())
    kernel.advance(run.pk, PLAN, now)
    assert "one has to leave for the other" in Run.objects.get(pk=run.pk).reason

    actions.approve(Run.objects.get(pk=run.pk), actor="owner", reason="at night nobody minds", now=now())
    kernel.advance(run.pk, PLAN, now)
    assert Job.objects.filter(run=run, kind__startswith="push:").exists()
