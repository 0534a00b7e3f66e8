"""Examples in by NDJSON: kept, quarantined, idempotent, resumable."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client as Browser

from pipelines.models import Batch, Example
from tenants.models import AuditEvent, Client
from tests import factories

URL = "/rest/v1/pipelines/support/examples"


@pytest.fixture
def key(acorn: Client) -> str:
    factories.make_pipeline(acorn)
    return factories.make_key(acorn, "examples")


def line(said: str, label: str = "billing") -> bytes:
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": label}]
    return json.dumps({"messages": messages}).encode()


def send(browser: Browser, key: str, body: bytes, token: str = "t1", **environ: Any) -> HttpResponse:
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": token}
    return browser.post(URL, body, content_type="application/x-ndjson", headers=headers, **environ)


def test_good_lines_are_kept_and_bad_ones_quarantined_with_line_rule_and_pointer(anonymous: Browser, key: str) -> None:
    body = b"\n".join([line("Where is my bill?"), b"{not json", b'{"messages": []}', line("Who pays?")])

    made = send(anonymous, key, body)
    address = f"/rest/v1/pipelines/support/batches/{made.json()['id']}"
    read = anonymous.get(address, headers={"Authorization": f"Bearer {key}"})

    assert made.status_code == 201
    assert made.json() | {"rows": 4, "quarantined": 2, "is_complete": True, "source": "api"} == made.json()
    assert [(row["line"], bool(row["rule"])) for row in read.json()["quarantine"]] == [(2, True), (3, True)]
    assert all(row["detail"] for row in read.json()["quarantine"])


def test_the_same_idempotency_key_answers_with_the_same_batch(anonymous: Browser, key: str, acorn: Client) -> None:
    first = send(anonymous, key, line("One?"))
    again = send(anonymous, key, line("One?"))

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    with factories.inside(acorn):
        assert Example.objects.count() == 1
        act = AuditEvent.objects.get(verb="examples.add")
    assert act.actor.startswith("key-")


def test_an_upload_that_was_cut_off_is_not_complete_and_goes_on_with_the_same_key(
    anonymous: Browser, key: str, acorn: Client
) -> None:
    whole = b"".join(line(f"Question {n}?") + b"\n" for n in range(700))
    cut = whole[: len(whole) * 9 // 10]

    broken = send(anonymous, key, b"", **{"CONTENT_LENGTH": str(len(whole)), "wsgi.input": BytesIO(cut)})
    with factories.inside(acorn):
        kept = Batch.objects.get()
        assert (kept.is_complete, 0 < kept.rows < 700) == (False, True)
    resumed = send(anonymous, key, whole)

    assert broken.status_code == 400
    assert "same Idempotency-Key" in broken.json()["error"]["message"]
    assert (resumed.status_code, resumed.json()["rows"], resumed.json()["is_complete"]) == (201, 700, True)
    with factories.inside(acorn):
        assert Example.objects.count() == 700


def test_a_second_upload_beside_an_unfinished_one_of_the_same_key_is_refused(
    anonymous: Browser, key: str, acorn: Client
) -> None:
    send(anonymous, key, b"", **{"CONTENT_LENGTH": "9000", "wsgi.input": BytesIO(line("One?") + b"\n")})
    with factories.inside(acorn):
        batch = Batch.objects.select_related("pipeline").get()
        fields = {"batch": batch, "line": 1, "created_at": batch.created_at}
        Example.of(batch, pipeline=batch.pipeline, **fields).save()  # What the other one has just written.

    response = send(anonymous, key, line("One?"))

    assert (response.status_code, response.json()["error"]["code"]) == (409, "refused")


def test_an_empty_body_leaves_no_batch_behind(anonymous: Browser, key: str, acorn: Client) -> None:
    response = send(anonymous, key, b"")

    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid")
    with factories.inside(acorn):
        assert not Batch.objects.exists()


@pytest.mark.parametrize("token", [None, "x" * 101])
def test_a_missing_or_endless_idempotency_key_is_refused_with_its_name(
    anonymous: Browser, key: str, token: str | None
) -> None:
    headers = {"Authorization": f"Bearer {key}"} | ({"Idempotency-Key": token} if token else {})

    response = anonymous.post(URL, line("One?"), content_type="application/x-ndjson", headers=headers)

    assert response.status_code == 422
    assert "Idempotency-Key" in response.json()["error"]["message"]


def test_a_line_over_the_limit_is_quarantined_and_its_neighbours_are_kept(anonymous: Browser, key: str) -> None:
    body = b"\n".join([line("Before?"), b'{"x": "' + b"y" * 1_200_000 + b'"}', line("After?")])

    made = send(anonymous, key, body)

    assert (made.status_code, made.json()["rows"], made.json()["quarantined"]) == (201, 3, 1)
