"""What the Ollama adapter does when a connection breaks half way: it looks, and never tries blindly again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pipelines.hosts import Generation, Host, HostDown, HostLost, HostRefused, open_host

NAME = "deploy.invalid/acorn/support:v1"
DIGEST = "sha256:" + "a" * 64


@dataclass
class Story:
    """What the server does, and what it was asked."""

    create: str = "success"
    version: str = "0.33.0"
    has_tag: bool = False
    upload: str = "whole"
    has_blob: bool = False
    damaged: int = 0
    loaded: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextmanager
def server_with(story: Story) -> Iterator[Host]:
    handler = type("Told", (Teller,), {"story": story})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    host = open_host("ollama", f"http://127.0.0.1:{server.server_port}", allow_private=True, timeout_s=5)
    try:
        yield host
    finally:
        host.close()
        server.shutdown()
        server.server_close()
        thread.join()


class Teller(BaseHTTPRequestHandler):
    story: Story

    def log_message(self, format: str, *args: Any) -> None:
        return

    def _reply(self, status: int, document: Any = None, **headers: str) -> None:
        data = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data if self.command != "HEAD" else b"")

    def do_HEAD(self) -> None:
        self.story.asked.append("head")
        self._reply(200 if self.story.has_blob else 404)

    def do_GET(self) -> None:
        self.story.asked.append(self.path)
        tag = {"name": NAME, "digest": "d" * 64, "size": 1}
        answers = {
            "/api/version": {"version": self.story.version},
            "/api/tags": {"models": [tag] if self.story.has_tag else []},
            "/api/ps": {"models": [{"name": NAME, "digest": digest} for digest in self.story.loaded]},
        }
        if self.story.version == "elsewhere":
            self._reply(302, Location="http://169.254.169.254/")
        else:
            self._reply(200, answers[self.path])

    def do_POST(self) -> None:
        self.story.asked.append(self.path)
        if self.path.startswith("/api/blobs/"):
            self._take_upload()
        elif self.path == "/api/show":
            self._reply(404, {"error": "model 'deploy.invalid/retune/probe:latest' not found"})
        else:
            self._create()

    def _take_upload(self) -> None:
        if self.story.upload != "whole":
            self.rfile.read(10)
            self.story.has_blob = self.story.upload == "lost answer"
            self.close_connection = True
            return
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.story.damaged:
            self.story.damaged -= 1
            self._reply(400, {"error": 'digest mismatch, expected "sha256:a", got "sha256:b"'})
            return
        self.story.has_blob = True
        self._reply(201)

    def _create(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "adapters" in body:
            self._reply(400, {"error": "LoRA adapters are no longer supported"})
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        self.wfile.write(b'{"status":"parsing GGUF"}\n')
        if self.story.create == "success":
            self.story.has_tag = True
            self.wfile.write(b'{"status":"success"}\n')
        elif self.story.create == "garbage":
            self.wfile.write(b"<html>busy</html>\n")
        elif self.story.create.startswith("error"):
            self.wfile.write(json.dumps({"error": self.story.create.removeprefix("error: ")}).encode() + b"\n")
        self.close_connection = True


def test_only_a_final_success_counts() -> None:
    with server_with(Story()) as host:
        assert host.create(NAME, DIGEST, {}).manifest_digest == "d" * 64


def test_a_stream_that_ends_early_is_answered_by_reading_the_tags_once() -> None:
    story = Story(create="cut", has_tag=True)
    with server_with(story) as host:
        assert host.create(NAME, DIGEST, {}).manifest_digest == "d" * 64
    assert story.asked == ["/api/ps", "/api/create", "/api/version", "/api/tags"]


@pytest.mark.parametrize("create", ["cut", "garbage"])
def test_a_create_that_left_nothing_waits_for_a_person_and_is_not_sent_again(create: str) -> None:
    story = Story(create=create)
    with server_with(story) as host, pytest.raises(HostLost, match="may have ended meanwhile"):
        host.create(NAME, DIGEST, {})
    assert story.asked.count("/api/create") == 1


def test_a_create_that_broke_off_may_be_tried_later_on_a_host_that_still_has_what_was_loaded() -> None:
    story = Story(create="cut", loaded=["e" * 64])
    with server_with(story) as host, pytest.raises(HostDown) as caught:
        host.create(NAME, DIGEST, {})
    assert not isinstance(caught.value, HostLost)
    assert story.asked.count("/api/create") == 1


def test_bytes_that_arrived_damaged_are_sent_once_more_and_no_third_time(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x" * 1000)
    once, always = Story(damaged=1), Story(damaged=9)
    with server_with(once) as host:
        assert host.push_blob(path, DIGEST) == 1000
    with server_with(always) as host, pytest.raises(HostRefused, match="memory and disk"):
        host.push_blob(path, DIGEST)
    assert always.asked.count(f"/api/blobs/{DIGEST}") == 2


def test_an_error_line_after_the_first_is_a_refusal() -> None:
    with server_with(Story(create="error: unexpected EOF")) as host, pytest.raises(HostRefused, match="unexpected EOF"):
        host.create(NAME, DIGEST, {})


def test_a_full_disk_says_how_much_to_free() -> None:
    story = Story(create="error: write /models/blobs/x: no space left on device")
    with server_with(story) as host, pytest.raises(HostRefused, match="three times"):
        host.create(NAME, DIGEST, {})


def test_an_upload_whose_answer_was_lost_counts_when_the_blob_is_there(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x" * 3_000_000)
    with server_with(Story(upload="lost answer")) as host:
        assert host.push_blob(path, DIGEST) == 3_000_000


def test_an_upload_that_broke_off_is_down(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x" * 3_000_000)
    with server_with(Story(upload="cut")) as host, pytest.raises(HostDown):
        host.push_blob(path, DIGEST)


def test_a_redirect_is_not_followed() -> None:
    with server_with(Story(version="elsewhere")) as host, pytest.raises(HostRefused, match="elsewhere"):
        host.probe()


def test_a_source_build_is_told_apart_by_what_it_answers() -> None:
    with server_with(Story(version="0.0.0")) as host:
        assert host.probe().generation is Generation.C


def test_an_old_host_is_refused() -> None:
    with server_with(Story(version="0.20.0")) as host, pytest.raises(HostRefused, match=r"0\.21"):
        host.probe()
