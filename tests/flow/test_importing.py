"""A model that was trained elsewhere: past every gate like one of ours, and its template past a person."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils.timezone import now

from pipelines import actions, keeping, plan
from pipelines.actions import ActionRefused, rerun_from
from pipelines.actions.elsewhere import import_model
from pipelines.artifacts import store_of
from pipelines.cards import version_card
from pipelines.engine.jobs import Work
from pipelines.models import DatasetVersion, Job, ModelVersion, Run
from tenants.models import AuditEvent, Pipeline
from tests.flow.test_line import watched

TEMPLATE = {"text": "{{ x }}", "differs": True, "diff": ["--- base", "+++ bundle", "-{{ y }}", "+{{ x }}"]}


def bundle(text: str = "hello") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("adapter_config.json"), text)
    return packed.getvalue()


def brought(pipeline: Pipeline, body: bytes = b"", name: str = "adapter.zip", **more: Any) -> Run:
    said = {"actor": "owner", "reason": "trained on the big machine", "force": False} | more
    run = import_model(pipeline, name, iter([body or bundle()]), now=now(), **said)
    return Run.objects.get(pk=run.pk)


@pytest.fixture
def template(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The quick train job of an import; what the test puts in here is what it finds of the template."""
    found: dict[str, Any] = {"text": "{{ y }}", "differs": False, "diff": []}

    def train(work: Work) -> dict[str, Any]:
        digest = store_of(work.job.client_id).put_bytes(b"what was taken")
        origin = {"bundle_digest": work.job.run.occasion["bundle"]["digest"]}
        facts = {"trainer": "import", "kind": "merged", "device": "elsewhere", "origin": origin}
        return facts | {"adapter_digest": digest, "template": dict(found)}

    monkeypatch.setitem(plan.JOBS, "train", train)
    yield found


def test_an_import_trains_nothing_and_meets_every_gate(pipeline: Pipeline, template: dict[str, Any]) -> None:
    run = brought(pipeline)
    assert (run.status, run.stage) == ("held", "compare")
    assert "validate" not in run.path and not DatasetVersion.objects.filter(run=run).exists()
    assert {job.kind for job in Job.objects.filter(run=run)} == {"preflight", "train", "build", "evaluate"}
    actions.approve(run, actor="owner", reason="looks right", now=now())
    assert watched(run).status == "succeeded"


def test_the_card_tells_where_it_came_from(pipeline: Pipeline, template: dict[str, Any]) -> None:
    run = brought(pipeline, name="C:\\models\\acorn\x07 v3.zip")
    version = ModelVersion.objects.get(run=run)
    card = version_card(version)["training"]
    digest = run.occasion["bundle"]["digest"]
    assert card["origin"]["bundle_digest"] == card["origin"]["digest"] == digest
    assert (card["origin"]["name"], card["origin"]["by"]) == ("acorn v3.zip", "owner")
    assert card["origin"]["at"] == run.occasion["bundle"]["at"]
    assert (card["method"], card["trainer"]) == ("trained elsewhere, merged there", "import")
    assert AuditEvent.objects.get(verb="model.import").detail["digest"] == digest
    with pytest.raises(ActionRefused, match="No adapter was kept"):
        actions.measure_hops(version, actor="owner", now=now())


def test_another_chat_template_waits_for_a_person(pipeline: Pipeline, template: dict[str, Any]) -> None:
    template |= TEMPLATE
    run = brought(pipeline)
    assert (run.status, run.stage) == ("held", "finetune")
    assert "differs from its base's in 2 lines" in run.reason
    assert not Job.objects.filter(run=run, kind="build").exists()
    actions.approve(run, actor="owner", reason="it is how we ask", now=now())
    run.refresh_from_db()
    assert (run.status, run.stage) == ("held", "compare")
    approved = version_card(ModelVersion.objects.get(run=run))["training"]["origin"]["template_approved"]
    assert [(one["by"], one["reason"]) for one in approved] == [("owner", "it is how we ask")]


def test_a_chat_template_that_is_turned_down_ends_the_run(pipeline: Pipeline, template: dict[str, Any]) -> None:
    template |= TEMPLATE
    run = brought(pipeline)
    actions.reject(run, actor="owner", reason="it obeys somebody else", now=now())
    run.refresh_from_db()
    assert (run.status, run.verdict) == ("rejected", "rejected")
    assert not ModelVersion.objects.filter(run=run).exists()


def test_an_import_that_was_turned_down_is_judged_again_without_its_file(
    pipeline: Pipeline, template: dict[str, Any]
) -> None:
    run = brought(pipeline)
    actions.reject(run, actor="owner", reason="not today", now=now())
    run.refresh_from_db()
    with pytest.raises(ActionRefused, match="bring its file again"):
        rerun_from(run, "finetune", actor="owner", reason="once more", now=now())
    again = Run.objects.get(pk=rerun_from(run, "evaluate", actor="owner", reason="once more", now=now()).pk)
    assert (again.status, again.stage) == ("held", "compare")
    first, second = (ModelVersion.objects.get(run=one) for one in (run, again))
    assert (second.gguf_digest, second.card["origin"]) == (first.gguf_digest, first.card["origin"])


def test_the_same_file_sent_twice_is_one_run(pipeline: Pipeline, template: dict[str, Any]) -> None:
    first = brought(pipeline)
    assert brought(pipeline).pk == first.pk
    with pytest.raises(ActionRefused, match="still live"):
        brought(pipeline, bundle("another"))
    assert Run.objects.count() == 1


@pytest.mark.parametrize("body", [b"hello", b" "])
def test_what_is_no_bundle_is_refused_and_not_kept(pipeline: Pipeline, body: bytes) -> None:
    with pytest.raises(ActionRefused, match="neither a GGUF file nor a tar or zip"):
        brought(pipeline, body)
    assert list(store_of(pipeline.client_id).listed()) == [] and not Run.objects.exists()


def test_a_file_over_the_limit_is_refused_and_not_kept(pipeline: Pipeline, settings: Any) -> None:
    settings.BUNDLE_BYTES = 50
    with pytest.raises(ActionRefused, match="RETUNE_BUNDLE_BYTES"):
        brought(pipeline)
    assert list(store_of(pipeline.client_id).listed()) == [] and not Run.objects.exists()


def test_the_file_is_kept_while_its_run_lives_and_no_longer(pipeline: Pipeline, template: dict[str, Any]) -> None:
    template |= TEMPLATE
    run = brought(pipeline)
    digest, later = run.occasion["bundle"]["digest"], now() + timedelta(days=9)
    assert digest not in keeping.plan(pipeline.client, later)
    actions.cancel(run, actor="owner", reason="never mind", now=now())
    assert digest in keeping.plan(pipeline.client, later)
