"""The worker's program for itself: a no of headquarters is waited out and told once; a revoked token ends it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pipelines.worker import program as module
from pipelines.worker.link import Link
from pipelines.worker.program import Program, main
from tests.unit.outbound.answering import says, server

HELLO = {"name": "gpu-1", "queues": ["gpu"], "is_trusted": False, "lease_s": 60, "program": None}


def no(status: int, sentence: str) -> Any:
    return says(json.dumps({"error": {"code": "x", "message": sentence}}).encode(), status)


@pytest.fixture
def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[Any]]]:
    """What each door answers, one after the other, the last one from then on."""
    monkeypatch.setattr(module, "abilities", lambda _folder: {})
    answers: dict[str, list[Any]] = {"hello": [says(json.dumps(HELLO).encode())], "claim": [says(b"", 204)]}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        waiting = answers[handler.path.rpartition("/")[2]]
        (waiting.pop(0) if len(waiting) > 1 else waiting[0])(handler)

    with server(answer) as port:
        monkeypatch.setenv("RETUNE_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("RETUNE_TOKEN", "rm_x")
        monkeypatch.setenv("RETUNE_WORK_DIR", str(tmp_path / "work"))
        yield answers


def run(tmp_path: Path, url: str) -> Program:
    """Until it has claimed once in peace."""
    made = Program(Link(url, "rm_x", pause_s=0.01), tmp_path / "work", poll_s=0.01)
    made.folder.mkdir()
    claim = made.claim_one

    def claimed(lease_s: float) -> bool:
        found = claim(lease_s)
        made.ending.set()
        return found

    made.claim_one = claimed  # type: ignore[method-assign]
    made.run()
    return made


@pytest.mark.parametrize("door", ["hello", "claim"])
@pytest.mark.parametrize("status", [403, 404, 410, 422])
def test_a_no_that_may_heal_is_waited_out_and_told_once(
    doors: dict[str, list[Any]], door: str, status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    doors[door] = [no(status, "Not now.")] * 5 + doors[door]
    caplog.set_level(logging.INFO)

    run(tmp_path, module.os.environ["RETUNE_URL"])

    said = [record.message for record in caplog.records if "says no" in record.message]
    assert len(said) == 1 and "asked again" in said[0]
    assert len(doors[door]) == 1 and "gpu-1: queues ['gpu']" in caplog.text


def test_a_revoked_token_ends_the_program_with_a_sentence(
    doors: dict[str, list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    doors["claim"] = [no(401, "Unknown.")]

    assert main([]) == 1
    assert "does not know this token" in capsys.readouterr().err
