"""A version's passport: signed facts that stand on their own."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser
from django.urls import reverse
from django.utils.timezone import now

from pipelines.models import ModelVersion
from pipelines.reports.changes.passport import passport, verify
from tenants import scope
from tenants.crypto import signing
from tenants.models import Pipeline, Role
from tests import factories
from tests.flow.test_line import promoted


@pytest.fixture
def issued(pipeline: Pipeline, add_rows: Callable[..., None]) -> str:
    add_rows(0, 30)
    promoted(pipeline)
    related = ("client", "pipeline", "dataset", "run__revision")
    return passport(ModelVersion.objects.select_related(*related).get(), now())


def test_it_says_what_served_and_its_signature_fits(issued: str, pipeline: Pipeline) -> None:
    found = verify(issued, signing.public_pem())
    version = ModelVersion.objects.select_related("dataset").get()
    assert found.obstacle == "" and found.fingerprint == signing.fingerprint(signing.public_pem())
    assert found.facts["served_as"]["dataset"] == version.dataset.digest
    assert found.facts["card"]["gguf"]["digest"] == version.gguf_digest
    assert found.facts["ledger"]["is_whole"] and len(found.facts["history"]) == 1


def test_one_changed_letter_is_seen(issued: str) -> None:
    body = json.loads(issued)
    body["payload"] = body["payload"].replace('"v1"', '"v2"', 1)
    assert "was changed" in verify(json.dumps(body)).obstacle


def test_a_file_signed_by_somebody_else_is_not_ours(issued: str, settings: Any) -> None:
    ours = signing.public_pem()
    settings.SECRET_KEY = "another installation's secret, long enough"
    body = json.loads(issued)
    theirs = body | {"signature": signing.sign(body["payload"].encode()), "public_key": signing.public_pem()}
    assert verify(json.dumps(theirs)).obstacle == ""
    assert "another key than the one you trust" in verify(json.dumps(theirs), ours).obstacle


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"payload": 1}', '{"payload": "{}", "signature": "!", "public_key": "x"}']
)
def test_what_is_no_passport_is_called_so(text: str) -> None:
    assert "no passport" in verify(text).obstacle


def test_openssl_alone_verifies_it(issued: str, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None
    body = json.loads(issued)
    (tmp_path / "payload").write_text(body["payload"])
    (tmp_path / "signature").write_bytes(base64.b64decode(body["signature"]))
    (tmp_path / "key.pem").write_text(signing.public_pem())
    words = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "payload", "-sigfile", "signature"]
    said = subprocess.run([openssl, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    (tmp_path / "payload").write_text(body["payload"] + " ")
    assert subprocess.run([openssl, *words], cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_it_is_issued_and_verified_by_command_page_and_api(issued: str, pipeline: Pipeline, tmp_path: Path) -> None:
    slug, file, out = pipeline.client.slug, tmp_path / "v1.json", StringIO()
    with scope.entered(None):
        call_command("passport", "issue", f"{slug}/support", "v1", stdout=out)
        file.write_text(out.getvalue())
        said = StringIO()
        call_command("passport", "verify", str(file), stdout=said)
        with pytest.raises(CommandError, match="no passport"):
            (tmp_path / "empty").write_text("")
            call_command("passport", "verify", str(tmp_path / "empty"))
        browser = Browser()
        browser.force_login(factories.make_member(pipeline.client.agency, Role.VIEWER))
        page = browser.get(reverse("passport-file", args=[slug, "support", 1]))
        headers = {"Authorization": f"Bearer {factories.make_key(pipeline.client, 'versions')}"}
        api = Browser().get("/rest/v1/pipelines/support/versions/1/passport", headers=headers)
    assert f"{slug}/support v1: the signature fits" in said.getvalue()
    assert [verify(answer.text).obstacle for answer in (page, api)] == ["", ""]
