"""Machines that pull jobs: an owner adds one with a token that is shown once; it is trusted, paused, revoked."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from pipelines.models import Job
from tenants import scope
from tenants.machines import machine_of, note_seen
from tenants.models import AuditEvent, Client, Machine
from tests import factories

HERE = reverse("machines")
FORM = {"name": "gpu-1", "queues": ["gpu"]}
ABILITIES = {"cores": 8, "memory_bytes": 64 * 2**30, "gpus": ["A card"], "torch": "2.13.0"}


def add(owner: Browser, **form: Any) -> tuple[Machine, str]:
    """The machine, and the token that the page shows."""
    assert owner.post(HERE, FORM | form).status_code == 303
    found = re.search(r"RETUNE_TOKEN=(rm_[\w-]+)", owner.get(HERE).text)
    assert found is not None
    machine = machine_of(found[1])
    assert machine is not None
    return machine, found[1]


def test_a_token_is_shown_once_and_only_its_digest_is_kept(owner: Browser, acorn: Client) -> None:
    machine, token = add(owner)

    assert token not in owner.get(HERE).text
    assert token.rpartition("_")[2] not in str(vars(machine))
    with scope.agency_scope(acorn.agency_id):
        line = AuditEvent.objects.get(verb="machine.add")
    assert (line.actor, line.subject) == ("owner@north.example", "gpu-1")
    assert token not in str(line.detail)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"queues": []}, "required"), ({"queues": ["push"]}, "not one of"), ({"name": "GPU 1"}, "valid")],
)
def test_what_cannot_be_added_is_refused(owner: Browser, acorn: Client, change: dict[str, Any], sentence: str) -> None:
    answer = owner.post(HERE, FORM | change)

    assert answer.status_code == 422 and sentence in answer.text


def test_a_name_is_taken_while_its_machine_works_and_free_once_it_is_revoked(owner: Browser, acorn: Client) -> None:
    machine, token = add(owner)
    assert "a machine of this name already" in owner.post(HERE, FORM).text
    answer = owner.post(reverse("order-machine", args=[machine.pk, "revoke"]), {"reason": "sold"})
    assert answer.status_code == 303

    assert machine_of(token) is None
    assert add(owner)[0].pk != machine.pk


def test_another_program_is_named_with_the_line_that_brings_the_right_one(owner: Browser, acorn: Client) -> None:
    machine, _token = add(owner)
    line = "RETUNE_URL=http://testserver RETUNE_TOKEN_FILE=... venv/bin/python retune-worker.pyz update"
    assert line not in owner.get(HERE).text
    with scope.agency_scope(acorn.agency_id):
        note_seen(machine, timezone.now(), ABILITIES | {"program": "0" * 64})

    assert line in owner.get(HERE).text


def test_each_order_is_carried_out_and_written_down(owner: Browser, acorn: Client) -> None:
    machine, _token = add(owner)
    seen = []
    for order in ("trust", "pause", "distrust", "resume"):
        owner.post(reverse("order-machine", args=[machine.pk, order]), {"reason": f"to {order}"})
        with scope.agency_scope(acorn.agency_id):
            row = Machine.objects.get()
        seen.append((row.is_trusted, row.is_working))

    assert seen == [(True, True), (True, False), (False, False), (False, True)]
    with scope.agency_scope(acorn.agency_id):
        lines = AuditEvent.objects.filter(verb__startswith="machine.").order_by("seq")
        assert [line.verb for line in lines][1:] == [
            "machine.trust", "machine.pause", "machine.distrust", "machine.resume",
        ]  # fmt: skip
    assert owner.post(reverse("order-machine", args=[machine.pk, "explode"]), {"reason": "x"}).status_code == 404


def test_staff_see_state_job_and_what_waits_and_another_agency_sees_none(
    owner: Browser, viewer: Browser, stranger: Browser, acorn: Client
) -> None:
    machine, _token = add(owner)
    now = timezone.now()
    note_seen(machine, now, ABILITIES)
    run = factories.make_run(factories.make_pipeline(acorn), at="finetune")
    with factories.inside(acorn):
        lease, told = {"status": "running", "due_at": now + timedelta(minutes=1)}, {"created_at": now, "queue": "gpu"}
        doing = {"progress": {"progress": 0.4, "note": "step 4 of 10"}, "machine": machine.pk}
        Job.of(run, run=run, stage="finetune", kind="train", **lease, **told, **doing).save()
        Job.of(run, run=run, stage="evaluate", kind="train", due_at=now - timedelta(hours=1), **told).save()

    text = viewer.get(HERE).text
    assert "A card" in text and "40 % step 4 of 10" in text and "for gpu-1" in text
    assert "Add machine" not in text
    assert "A card" not in stranger.get(HERE).text


def test_the_doctor_names_a_machine_that_went_silent(owner: Browser, acorn: Client) -> None:
    machine, _token = add(owner)
    note_seen(machine, timezone.now() - timedelta(hours=1), ABILITIES)
    said = StringIO()
    with pytest.raises(CommandError):
        call_command("doctor", stdout=said)

    assert "not heard of: gpu-1" in said.getvalue()
