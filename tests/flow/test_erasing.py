"""A client erased for good: all of it and nothing else; a certificate stays that anybody can verify."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from agency.leaving import erasing
from agency.leaving.erasing import FORMAT, carry_out
from agency.leaving.export.archive import client_archive, write
from agency.leaving.tables import line, rows_of
from pipelines.actions import ActionRefused
from pipelines.actions.clients.erasure import order_erasure
from pipelines.actions.clients.removal import owned_by_clients
from pipelines.actions.two_people import acts
from pipelines.artifacts import store_of
from pipelines.engine import jobs
from pipelines.hosts.fake import FakeHost
from pipelines.models import Example, Job, Placement, Rollout, Route, Run
from tenants import actions, scope
from tenants.crypto.certificate import verify
from tenants.models import Agency, ApiKey, AuditEvent, Client, Erasure, Membership, Proposal, User
from tests import factories

pytestmark = pytest.mark.django_db
SAID = {"actor": "ann@north.example", "reason": "the contract ended", "now": factories.NOW}


def counts(client_id: int, agency: Agency) -> dict[str, int]:
    with scope.agency_scope(agency.pk):
        return {m._meta.db_table: m._default_manager.filter(client_id=client_id).count() for m in owned_by_clients()}


def living(client: Client) -> None:
    """Rows everywhere, weights, a key, a reader, a host that nobody answers at."""
    made = factories.make_pipeline(client)
    factories.make_production(made)
    factories.make_key(client)
    store_of(client.pk).put_bytes(f"weights of {client.slug}".encode())
    with scope.agency_scope(client.agency_id):
        reader = f"reader@{client.slug}.example"
        actions.add_member(client.agency, reader, "reader", "tests", factories.NOW, client=client, password="x" * 20)


def erased(client: Client) -> Erasure:
    with scope.agency_scope(client.agency_id):
        return carry_out(order_erasure(client, client.name, **SAID), timezone.now())


def test_all_of_it_goes_and_nothing_else(acorn: Client, birch: Client, agency: Agency) -> None:
    living(acorn)
    living(birch)
    before = counts(birch.pk, agency)
    with scope.agency_scope(agency.pk):
        actions.add_member(agency, "reader@birch.example", "reader", "tests", factories.NOW, client=acorn)

    erased(acorn)

    assert {table: n for table, n in counts(acorn.pk, agency).items() if n} == {}
    assert not (Path(settings.ARTIFACTS) / "clients" / str(acorn.pk)).exists()
    assert counts(birch.pk, agency) == before
    with scope.agency_scope(agency.pk):
        assert list(Client.objects.all()) == [birch]
    assert not User.objects.filter(email="reader@acorn.example").exists(), "an account of this client alone is gone"
    assert User.objects.get(email="reader@birch.example").is_active, "one that is let in elsewhere stays"
    call_command("ledger", "verify")


def test_the_certificate_says_what_went_by_digest_and_no_content(acorn: Client, agency: Agency, tmp_path: Path) -> None:
    living(acorn)
    write(tmp_path / "kept.tar", client_archive(acorn, timezone.now()))
    with factories.inside(acorn):
        rows = b"".join(line(row) for row in rows_of(Example, acorn))
        said = Example.objects.all()[0].messages[0]["content"]
        head = AuditEvent.objects.filter(client=acorn).order_by("-seq")[0]

    text = erased(acorn).certificate

    found = verify(text, FORMAT)
    assert not found.obstacle
    told = found.facts["tables"]["pipelines_example"]
    assert told == {"rows": rows.count(b"\n"), "sha256": hashlib.sha256(rows).hexdigest()}
    assert found.facts["files"] == [hashlib.sha256(b"weights of acorn").hexdigest()]
    assert found.facts["ledger"]["acts"] >= head.seq
    assert found.facts["hosts"][0]["host"] == "shop" and "shop" in found.facts["hosts"][0]["not_reached"]
    assert said not in text and "reader@acorn.example" not in text
    with scope.agency_scope(agency.pk):
        last = AuditEvent.objects.filter(client=None).order_by("-seq")[0]
    assert (last.verb, last.detail["certificate"]) == ("client.erased", hashlib.sha256(text.encode()).hexdigest())
    changed = json.dumps(json.loads(text) | {"payload": found.facts["agency"]})
    assert verify(changed, FORMAT).obstacle


def test_models_leave_the_hosts_that_answer(acorn: Client, tmp_path: Path) -> None:
    living(acorn)
    fake = FakeHost(f"fake://{tmp_path / 'host'}")
    (tmp_path / "weights").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    fake.push_blob(tmp_path / "weights", f"sha256:{digest}")
    for name in ("deploy.invalid/acorn/support:v1", "deploy.invalid/other/task:v1"):
        fake.create(name, f"sha256:{digest}", {})
    with factories.inside(acorn):
        host = actions.add_host(acorn, "cellar", f"fake://{tmp_path / 'host'}", "tests", factories.NOW, kind="fake")
        version = Placement.objects.all()[0].version
        placed = {"model_name": "deploy.invalid/acorn/support:v1", "placed_at": factories.NOW}
        Placement.of(version, version=version, host=host, **placed).save()

    hosts = {told["host"]: told for told in json.loads(json.loads(erased(acorn).certificate)["payload"])["hosts"]}

    assert {tag.name for tag in fake.tags()} == {"deploy.invalid/other/task:v1"}
    assert hosts["cellar"]["removed"] == ["deploy.invalid/acorn/support:v1"]


def test_it_is_refused_with_another_name_without_a_reason_and_while_runs_live(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    run = factories.make_run(pipeline, at="evaluate", status="waiting")
    with scope.agency_scope(acorn.agency_id):
        with pytest.raises(ActionRefused, match="Type the client's name"):
            order_erasure(acorn, "acorn inc", **SAID)
        with pytest.raises(ActionRefused, match="Say why"):
            order_erasure(acorn, acorn.name, **SAID | {"reason": " "})
        with pytest.raises(ActionRefused, match=r"under way: support 1"):
            order_erasure(acorn, acorn.name, **SAID)
        order = order_erasure(acorn, acorn.name, ends_runs=True, **SAID)
        fields = {"queue": "gpu", "status": "running", "created_at": factories.NOW, "due_at": factories.NOW}
        Job.of(run, run=run, stage="finetune", kind="train:late", **fields).save()
        with pytest.raises(ActionRefused, match="worker"):
            carry_out(order, factories.NOW)
        assert Client.objects.filter(pk=acorn.pk).exists()


def stepping(client: Client) -> Run:
    """v2 beside v1, at 5 %."""
    pipeline = factories.make_pipeline(client)
    before = factories.make_production(pipeline).model_version
    run = factories.make_run(pipeline, at="deploy", status="waiting")
    with factories.inside(client):
        fields = {"version": run.model_version, "previous": before, "created_at": factories.NOW}
        rollout = Rollout.of(run, run=run, pipeline=pipeline, status="stepping", **fields)
        rollout.save()
        traffic = {"candidate": run.model_version, "candidate_bp": 500, "rollout": rollout}
        Route.objects.filter(pipeline=pipeline).update(**traffic)
    return run


def state_of(run: Run) -> tuple[str, str, int]:
    with factories.inside(run):
        rollout, route = Rollout.objects.get(run=run), Route.objects.get(pipeline_id=run.pipeline_id)
        return Run.objects.get(pk=run.pk).status, rollout.status, route.candidate_bp


@pytest.mark.parametrize("wrong", [{"name": "Acron"}, {"reason": " "}])
def test_a_refused_order_ends_no_run(owner: Browser, acorn: Client, wrong: dict[str, str]) -> None:
    run = stepping(acorn)
    given = {"name": "Acorn", "reason": "the contract ended", "end_runs": "on"} | wrong

    assert owner.post(reverse("erase-client", args=["acorn"]), given).status_code == 422

    assert state_of(run) == ("waiting", "stepping", 500)
    with pytest.raises(CommandError):
        call_command(
            "leave", "erase", "acorn", "--name", given["name"], "--reason", given["reason"].strip(), "--end-runs"
        )
    assert state_of(run) == ("waiting", "stepping", 500)


def test_while_a_worker_ends_something_else_the_runs_go_on(acorn: Client) -> None:
    run = stepping(acorn)
    with scope.agency_scope(acorn.agency_id):
        over = Run.objects.get(number=1)
        fields = {"queue": "push", "status": "running", "created_at": factories.NOW, "due_at": factories.NOW}
        Job.of(over, run=over, stage="monitor", kind="retire:1", **fields).save()
        with pytest.raises(ActionRefused, match="worker"):
            order_erasure(acorn, acorn.name, ends_runs=True, **SAID)

    assert state_of(run) == ("waiting", "stepping", 500)


def test_an_order_that_is_not_carried_out_yet_leaves_no_canary_in_traffic(acorn: Client) -> None:
    run = stepping(acorn)
    with scope.agency_scope(acorn.agency_id):
        order_erasure(acorn, acorn.name, ends_runs=True, **SAID)

    assert state_of(run) == ("rolled_back", "rolling_back", 0)
    with factories.inside(acorn):
        assert Route.objects.get().candidate_id is None


def test_with_the_runs_ended_it_is_erased_at_once(owner: Browser, acorn: Client, agency: Agency) -> None:
    stepping(acorn)
    given = {"name": "Acorn", "reason": "the contract ended", "end_runs": "on"}

    page = owner.post(reverse("erase-client", args=["acorn"]), given, follow=True)

    assert "Acorn is erased" in page.text
    with scope.agency_scope(agency.pk):
        assert not Client.objects.exists()


def test_no_worker_begins_what_still_waits_while_the_hosts_are_cleared(
    acorn: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepping(acorn)
    with scope.agency_scope(acorn.agency_id):
        order = order_erasure(acorn, acorn.name, ends_runs=True, **SAID)
        waiting = Job.objects.filter(client=acorn, kind__startswith="restore")
        waiting.update(due_at=factories.NOW, status="queued", finished_at=None)
        found = [job.pk for job in waiting]
    begun: list[Job | None] = []

    def cleared(*_: Any) -> dict[str, Any]:
        with factories.inside(acorn):
            begun.extend(jobs.claim(pk, timezone.now()) for pk in found)
        return {}

    monkeypatch.setattr(erasing, "_cleared", cleared)
    with scope.agency_scope(acorn.agency_id):
        assert carry_out(order, timezone.now()).is_done
    assert found and begun and not any(begun)


def test_a_worker_that_may_not_have_heard_yet_is_waited_for(acorn: Client) -> None:
    """What it still puts away would be written after every file was wiped."""
    run = factories.make_run(factories.make_pipeline(acorn), at="evaluate", status="waiting")
    beaten = factories.NOW - timedelta(seconds=5)
    with scope.agency_scope(acorn.agency_id):
        fields = {"queue": "cpu", "status": "running", "created_at": beaten, "started_at": beaten}
        lease = {"heartbeat_at": beaten, "due_at": beaten + timedelta(seconds=settings.JOB_LEASE_S)}
        Job.of(run, run=run, stage="evaluate", kind="evaluate", **fields, **lease).save()
        order = order_erasure(acorn, acorn.name, ends_runs=True, **SAID)

        with pytest.raises(ActionRefused, match="worker still ends"):
            carry_out(order, factories.NOW + timedelta(seconds=settings.JOB_LEASE_S - 10))
        assert Client.objects.filter(pk=acorn.pk).exists()

        assert carry_out(order, lease["due_at"]).is_done


def test_what_broke_off_goes_on(acorn: Client, agency: Agency, monkeypatch: pytest.MonkeyPatch) -> None:
    living(acorn)

    def broken(*_: Any) -> None:
        raise OSError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "wipe", broken)
        with pytest.raises(OSError, match="no power"):
            erased(acorn)
    with scope.agency_scope(agency.pk):
        half = Erasure.objects.select_related("agency").get()
        assert half.rows_gone_at and not half.is_done and not Client.objects.exists()
        done = carry_out(half, timezone.now())
    assert done.is_done and not (Path(settings.ARTIFACTS) / "clients" / str(acorn.pk)).exists()
    assert verify(done.certificate, FORMAT).facts["files"]


def test_the_page_asks_for_the_name_and_gives_the_certificate(owner: Browser, acorn: Client, agency: Agency) -> None:
    living(acorn)
    address = reverse("erase-client", args=["acorn"])

    refused = owner.post(address, {"name": "Birch", "reason": "the contract ended"})
    assert refused.status_code == 422 and "Type the client" in refused.text
    page = owner.post(address, {"name": "Acorn", "reason": "the contract ended"}, follow=True)

    assert "Acorn is erased" in page.text and "Certificate" in page.text
    with scope.agency_scope(agency.pk):
        pk = Erasure.objects.get().pk
    got = owner.get(reverse("erasure-certificate", args=[pk]))
    assert not verify(got.text, FORMAT).obstacle
    assert owner.get(reverse("client", args=["acorn"])).status_code == 404


def test_where_two_decide_it_waits_for_the_second(owner: Browser, acorn: Client, agency: Agency) -> None:
    agency.two_for_erasure = True
    agency.save()
    factories.make_member(agency, "owner", email="second@north.example")

    owner.post(reverse("erase-client", args=["acorn"]), {"name": "Acorn", "reason": "the contract ended"})

    with scope.agency_scope(agency.pk):
        assert Client.objects.filter(slug="acorn").exists() and not Erasure.objects.exists()
        row = Proposal.objects.select_related("client").get(kind="client.erase")
        with pytest.raises(ActionRefused, match="Two people"):
            order_erasure(acorn, acorn.name, **SAID)
        acts.confirm(row, actor="second@north.example", now=timezone.now())
        order = Erasure.objects.get()
    assert order.confirmed_by == "second@north.example"
    page = owner.post(reverse("go-on-erasing", args=[order.pk]), follow=True)
    assert "Acorn is erased" in page.text


def test_the_database_keeps_certificates_and_every_other_ledger(on_postgres: object) -> None:
    agency = factories.make_agency()
    real = factories.make_client(agency)
    gone = factories.make_client(agency)
    done = erased(gone)
    with scope.agency_scope(agency.pk):
        for act in (
            lambda: Erasure.objects.filter(pk=done.pk).update(reason="another"),
            lambda: Erasure.objects.filter(pk=done.pk)._raw_delete("default"),
            lambda: AuditEvent.objects.filter(client_id=real.pk)._raw_delete("default"),
        ):
            with pytest.raises(DatabaseError, match=r"for ever|append-only"), transaction.atomic():
                act()
        assert AuditEvent.objects.filter(client_id=real.pk).exists()
        assert not AuditEvent.objects.filter(client_id=gone.pk).exists()


def test_the_command_erases_and_verifies(acorn: Client, birch: Client, tmp_path: Path, capsys: Any) -> None:
    living(acorn)
    with pytest.raises(CommandError, match="Type the client"):
        call_command("leave", "erase", "acorn", "--name", "Birch", "--reason", "over")
    call_command("leave", "erase", "acorn", "--name", "Acorn", "--reason", "over")
    (tmp_path / "gone.json").write_text(capsys.readouterr().out)

    call_command("leave", "verify", str(tmp_path / "gone.json"))

    assert "the signature fits" in capsys.readouterr().out
    (tmp_path / "gone.json").write_text("{}")
    with pytest.raises(CommandError, match="no passport or certificate"):
        call_command("leave", "verify", str(tmp_path / "gone.json"))
    with factories.inside(birch):
        assert Client.objects.filter(pk=birch.pk).exists()


def test_nobody_of_it_is_let_in_any_more(acorn: Client) -> None:
    living(acorn)
    with factories.inside(acorn):
        key = ApiKey.objects.all()[0]

    erased(acorn)

    with scope.agency_scope(acorn.agency_id):
        assert not ApiKey.objects.filter(digest=key.digest).exists()
        assert not Membership.objects.filter(user__email="reader@acorn.example").exists()
