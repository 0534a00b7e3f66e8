"""Bringing a model that was trained elsewhere: by page, by API, by command."""

from __future__ import annotations

import errno
from io import BytesIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser
from django.urls import reverse

from agency.api.ndjson import announced_chunks
from pipelines.artifacts import store_of
from pipelines.models import Job, Run
from tenants.models import Client, Pipeline
from tests import factories
from tests.web.test_api_work import BASE, Program

PAGE = reverse("import-model", args=["acorn", "support"])
GGUF = b"GGUF" + b"\0" * 60


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def the_run(pipeline: Pipeline) -> Run:
    with factories.inside(pipeline):
        return Run.objects.get(pipeline=pipeline)


def test_an_engineer_brings_a_file(engineer: Browser, support: Pipeline) -> None:
    assert "Bring a model" in engineer.get(reverse("versions", args=["acorn", "support"])).text
    assert "multipart/form-data" in engineer.get(PAGE).text

    file = SimpleUploadedFile("v3.gguf", GGUF)
    answer = engineer.post(PAGE, {"model": file, "reason": "from the studio"})

    run = the_run(support)
    assert answer.url == reverse("run", args=["acorn", "support", run.number])
    assert (run.occasion["kind"], run.occasion["bundle"]["name"]) == ("import", "v3.gguf")
    assert store_of(support.client_id).path(run.occasion["bundle"]["digest"]).read_bytes() == GGUF
    assert "a model that was brought" in engineer.get(answer.url).text


def test_what_is_no_model_is_told_beside_the_field(engineer: Browser, support: Pipeline) -> None:
    answer = engineer.post(PAGE, {"model": SimpleUploadedFile("x.zip", b"hello"), "reason": "why not"})
    assert answer.status_code == 422
    assert "neither a GGUF file nor a tar or zip" in answer.text


def test_the_run_page_shows_how_the_template_differs(engineer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="finetune", status="held")
    with factories.inside(support):
        diff = ["--- base", "+++ bundle", "+<script>Obey me.</script>"]
        template = {"template": {"text": "", "differs": True, "diff": diff}}
        fields = {"kind": "train", "stage": "finetune", "queue": "gpu", "status": "succeeded", "result": template}
        Job.of(run, run=run, created_at=factories.NOW, **fields).save()
    page = engineer.get(reverse("run", args=["acorn", "support", run.number])).text
    assert "chat template differs" in page
    assert "+&lt;script&gt;Obey me.&lt;/script&gt;" in page


def test_a_program_streams_a_file(acorn: Client, support: Pipeline) -> None:
    program = Program(acorn)
    path = f"{BASE}/pipelines/support/models"
    send = {"content_type": "application/octet-stream", "headers": program.headers}

    started = program.browser.post(f"{path}?name=v3.gguf&reason=nightly", GGUF, **send)
    again = program.browser.post(f"{path}?name=v3.gguf", GGUF, **send)
    other = program.browser.post(path, b"hello", **send)

    assert (started.status_code, started.json()["occasion"]["bundle"]["name"]) == (201, "v3.gguf")
    assert again.json()["number"] == started.json()["number"] == the_run(support).number
    assert (other.status_code, "neither a GGUF" in other.json()["error"]["message"]) == (409, True)


def test_a_file_that_does_not_arrive_whole_is_not_kept(
    acorn: Client, support: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(acorn)
    cut = announced_chunks(BytesIO(GGUF).read, 9999)
    monkeypatch.setattr("agency.api.routers.runs.announced_chunks", lambda read, announced: cut)
    send = {"content_type": "application/octet-stream", "headers": program.headers}
    answer = program.browser.post(f"{BASE}/pipelines/support/models", GGUF, **send)
    assert (answer.status_code, "did not arrive whole" in answer.json()["error"]["message"]) == (400, True)
    assert list(store_of(acorn.pk).listed()) == []


def test_an_operator_brings_a_file_by_command(support: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "v3.gguf").write_bytes(GGUF)
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("start_run", "acorn/support", model=tmp_path / "missing.gguf")
    call_command("start_run", "acorn/support", "--model", str(tmp_path / "v3.gguf"), "--reason", "from the studio")
    assert the_run(support).occasion["bundle"]["name"] == "v3.gguf"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full: whatever is fsynced is refused, as the kernel does."""

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipelines.artifacts.store.os.fsync", refuse)


@pytest.mark.parametrize("page, file, more", [
    ("import-model", "model", {"reason": "from the studio"}),
    ("upload", "file", {"source": "shop"}),
])  # fmt: skip
@pytest.mark.usefixtures("full")
def test_that_the_disk_is_full_is_said_on_pages(
    engineer: Browser, support: Pipeline, caplog: pytest.LogCaptureFixture, page: str, file: str, more: dict[str, str]
) -> None:
    sent = {file: SimpleUploadedFile("v3.gguf", GGUF)} | more

    answer = engineer.post(reverse(page, args=["acorn", "support"]), sent)

    assert (answer.status_code, "disk has no room" in answer.text) == (507, True)
    assert "The fault is ours" not in answer.text and str(store_of(support.client_id).root) not in answer.text
    assert str(store_of(support.client_id).root) in caplog.text
    assert list(store_of(support.client_id).listed()) == []


def test_that_the_disk_is_full_is_said_to_programs(acorn: Client, support: Pipeline, full: None) -> None:
    program = Program(acorn)
    send = {"content_type": "application/octet-stream", "headers": program.headers}

    answer = program.browser.post(f"{BASE}/pipelines/support/models", GGUF, **send)

    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "no_room")
    assert "disk has no room" in answer.json()["error"]["message"]


@pytest.mark.parametrize("words", [("start_run", "acorn/support", "--model"), ("import", "acorn/support")])
def test_that_the_disk_is_full_is_said_by_commands(
    support: Pipeline, full: None, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "v3.gguf").write_bytes(GGUF)

    with pytest.raises(CommandError, match="No room for an artifact"):
        call_command(*words, str(tmp_path / "v3.gguf"))
