"""The demo client: made-up rows and no results; one click removes it, its files and its ledger, and nobody else's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from agency.portal.demo_client import demo_of, load_demo
from pipelines.actions import ActionRefused
from pipelines.actions.clients.removal import owned_by_clients, remove_demo
from pipelines.artifacts import store_of
from pipelines.hosts.fake import FakeHost
from pipelines.models import Example, Job, Placement, Run
from tenants import actions, scope
from tenants.models import Agency, AuditEvent, Client, EvalSet, Host, Pipeline, Role
from tests import factories


def load(agency: Agency) -> Client:
    with scope.agency_scope(agency.pk):
        return load_demo(agency, "ann@north.example", timezone.now()).client


def counts(client_id: int, agency: Agency) -> dict[str, int]:
    with scope.agency_scope(agency.pk):
        return {m._meta.db_table: m._default_manager.filter(client_id=client_id).count() for m in owned_by_clients()}


def test_it_is_loaded_with_rows_and_sets_and_without_a_result(owner: Browser, agency: Agency) -> None:
    page = owner.post(reverse("load-demo"), follow=True)

    with scope.agency_scope(agency.pk):
        made = demo_of(agency)
        assert made is not None and made.is_demo
        assert Example.objects.filter(client=made, state="ready").count() > 200
        assert set(EvalSet.objects.filter(client=made).values_list("kind", flat=True)) == {
            "heldout",
            "regression",
            "safety",
        }
        assert not Run.objects.filter(client=made).exists()
    assert "Start the first run" in page.text and "(demo)" in page.text


def test_a_second_click_goes_on_with_the_first_one(owner: Browser, agency: Agency) -> None:
    owner.post(reverse("load-demo"))
    owner.post(reverse("load-demo"))

    with scope.agency_scope(agency.pk):
        assert Client.objects.count() == 1


def test_nothing_of_it_starts_by_itself_or_mails(agency: Agency) -> None:
    client = load(agency)
    with factories.inside(client):
        chosen = client_pipeline(client).settings
    assert chosen.triggers.schedule is None and chosen.triggers.new_examples is None
    assert chosen.triggers.quality_below is None and chosen.recipients == ()


def client_pipeline(client: Client) -> Pipeline:
    return Pipeline.objects.select_related("revision").get(client=client)


def test_one_click_removes_all_of_it_and_nothing_else(owner: Browser, agency: Agency, acorn: Client) -> None:
    neighbour = factories.make_pipeline(acorn)
    factories.make_run(neighbour, at="compare")
    before = counts(acorn.pk, agency)
    demo = load(agency)
    with factories.inside(demo):
        run = factories.make_run(client_pipeline(demo), at="compare", status="held")
        store_of(demo.pk).put_bytes(b"weights")
    with scope.agency_scope(agency.pk):
        actions.add_member(agency, "reader@demo.example", Role.READER, "tests", factories.NOW, client=demo)
    assert run.pk and sum(counts(demo.pk, agency).values()) > 300

    page = owner.post(reverse("remove-demo", args=[demo.slug]), follow=True)

    assert "is gone" in page.text
    assert {table: n for table, n in counts(demo.pk, agency).items() if n} == {}
    assert not (Path(settings.ARTIFACTS) / "clients" / str(demo.pk)).exists()
    assert counts(acorn.pk, agency) == before
    with scope.agency_scope(agency.pk):
        assert list(Client.objects.all()) == [acorn]
        assert AuditEvent.objects.get(verb="client.remove").subject == demo.slug


def test_a_real_client_is_never_removed(owner: Browser, acorn: Client) -> None:
    page = owner.post(reverse("remove-demo", args=["acorn"]), follow=True)

    assert "is a real client" in page.text
    with factories.inside(acorn):
        assert Client.objects.filter(pk=acorn.pk).exists()


def test_it_stays_while_a_worker_is_at_work_for_it(agency: Agency) -> None:
    demo = load(agency)
    with factories.inside(demo):
        run = factories.make_run(client_pipeline(demo), at="finetune", status="running")
        fields = {"queue": "gpu", "status": "running", "created_at": factories.NOW, "due_at": factories.NOW}
        Job.of(run, run=run, stage="finetune", kind="train", **fields).save()

    with scope.agency_scope(agency.pk), pytest.raises(ActionRefused, match="Cancel the run first"):
        remove_demo(demo, "ann@north.example", timezone.now())


def test_it_stays_while_its_models_lie_on_a_host_that_is_down(agency: Agency) -> None:
    demo = load(agency)
    with factories.inside(demo):
        run = factories.make_run(client_pipeline(demo), at="compare", status="rejected")
        host = actions.add_host(demo, "cellar", "http://127.0.0.1:9", "tests", factories.NOW)
        placed = {"model_name": "deploy.invalid/x/y:v1", "status": "placed", "placed_at": factories.NOW}
        Placement.of(run, version=run.model_version, host=host, **placed).save()

    with scope.agency_scope(agency.pk), pytest.raises(ActionRefused, match="cellar"):
        remove_demo(demo, "ann@north.example", timezone.now())
    with factories.inside(demo):
        assert Host.objects.filter(name="cellar").exists()


def test_the_database_keeps_who_is_a_demo_and_every_other_ledger(on_postgres: object) -> None:
    agency = factories.make_agency()
    real, demo = factories.make_client(agency), load(agency)
    with scope.agency_scope(agency.pk):
        for act in (
            lambda: Client.objects.filter(pk=real.pk).update(is_demo=True),
            lambda: AuditEvent.objects.filter(client_id=real.pk)._raw_delete("default"),
        ):
            with pytest.raises(Exception, match=r"demo from the start or never|append-only"), transaction.atomic():
                act()
        gone = remove_demo(demo, "ann@north.example", timezone.now())
        assert gone["tenants_auditevent"] >= 5
        assert AuditEvent.objects.filter(client_id=real.pk).exists()


def test_its_models_leave_the_host_and_everybody_elses_stay(agency: Agency, tmp_path: Path) -> None:
    demo, fake = load(agency), FakeHost(f"fake://{tmp_path / 'host'}")
    digest = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "weights").write_bytes(b"weights")
    fake.push_blob(tmp_path / "weights", f"sha256:{digest}")
    ours = [f"deploy.invalid/{demo.slug}/sorting:{tag}" for tag in ("v1", "production")]
    for name in (*ours, "deploy.invalid/other/task:v1", "llama3"):
        fake.create(name, f"sha256:{digest}", {})
    with factories.inside(demo):
        host = actions.add_host(demo, "cellar", f"fake://{tmp_path / 'host'}", "tests", factories.NOW, kind="fake")
        run = factories.make_run(client_pipeline(demo), at="compare", status="rejected")
        placed = {"model_name": ours[0], "status": "placed", "placed_at": factories.NOW}
        Placement.of(run, version=run.model_version, host=host, **placed).save()

    with scope.agency_scope(agency.pk):
        remove_demo(demo, "ann@north.example", timezone.now())

    assert {tag.name for tag in fake.tags()} == {"deploy.invalid/other/task:v1", "llama3"}
