"""A host fails in the middle of a push: production on it stays as it is to the last byte; the push goes on later."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.hosts import Host, HostDown, HostLost, HostRefused, ollama, open_host
from pipelines.hosts.release import Nobody, Release, Smoke, place
from pipelines.work.gguf_header import GgufError, check
from tests.unit.ollama_host.tiny_gguf import CHATML, GO_CHATML, GUARD, write_model

V1, V2 = "deploy.invalid/acorn/support:v1", "deploy.invalid/acorn/support:v2"
ASK = ({"role": "user", "content": "hello"},)
GREEDY = {"temperature": 0, "seed": 1, "num_predict": 8}


@dataclass
class Process:
    """A host in a process of its own, which may end and be started again on its port and store."""

    store: Path
    generation: str = "B"
    flags: tuple[str, ...] = ()
    port: int = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "agency.ollama_host", "--generation", self.generation, "--port"]
        self.child = subprocess.Popen(
            [*command, str(self.port), "--store", str(self.store), *self.flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.child.stdout
        self.url = self.child.stdout.readline().strip()
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def open(self) -> Host:
        return open_host("ollama", self.url, allow_private=True, timeout_s=10)

    def bytes(self) -> dict[str, str]:
        """Every file of the store, and the digest of what is in it."""
        files = (path for folder in ("blobs", "manifests") for path in (self.store / folder).rglob("*"))
        return {
            str(path.relative_to(self.store)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.is_file()
        }


@contextmanager
def serving(process: Process) -> Iterator[Process]:
    process.start()
    try:
        yield process
    finally:
        process.kill()


def release_of(path: Path, name: str, **more: object) -> Release:
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    facts = {"parameters": {"num_ctx": 128}, "go_template": GO_CHATML, "stop": ("<|im_end|>",), "architecture": "llama"}
    return Release(name, path, digest, **{**facts, "jinja": CHATML + GUARD, **more})


def with_production(process: Process, folder: Path) -> dict[str, str]:
    """v1 stands on the host; every byte of that."""
    place(process.open(), release_of(write_model(folder / "v1.gguf", seed=1), V1), check)
    return process.bytes()


def answers(process: Process) -> bool:
    return bool(process.open().chat(V1, ASK, GREEDY).text)


class At(Nobody):
    """Does something as soon as so many bytes are sent."""

    def __init__(self, count: int, do: Callable[[], None]) -> None:
        self.count, self.do, self.is_done = count, do, False

    def sent(self, done: int, total: int) -> None:
        if done >= self.count and not self.is_done:
            self.is_done = True
            self.do()


def test_a_host_that_dies_in_the_middle_of_an_upload_gets_the_file_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama, "CHUNK_BYTES", 10_000)
    with serving(Process(tmp_path / "store")) as process:
        before = with_production(process, tmp_path)
        release = release_of(write_model(tmp_path / "v2.gguf", seed=2), V2)
        with pytest.raises(HostDown) as caught:
            place(process.open(), release, check, At(30_000, process.kill))
        assert not isinstance(caught.value, HostLost), "nothing was being made: it is tried again by itself"
        process.start()
        assert before.items() <= process.bytes().items()
        assert answers(process)
        assert place(process.open(), release, check).bytes_sent == release.path.stat().st_size
        assert before.items() <= process.bytes().items()


def test_a_push_that_its_worker_gives_up_leaves_nothing_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama, "CHUNK_BYTES", 10_000)

    def give_up() -> None:
        raise InterruptedError("cancelled")

    with serving(Process(tmp_path / "store")) as process:
        before = with_production(process, tmp_path)
        release = release_of(write_model(tmp_path / "v2.gguf", seed=2), V2)
        with pytest.raises(InterruptedError):
            place(process.open(), release, check, At(30_000, give_up))
        assert not process.open().has_blob(release.digest)
        assert {name: digest for name, digest in process.bytes().items() if name in before} == before


def test_a_file_that_ends_generation_a_never_reaches_it(tmp_path: Path) -> None:
    with serving(Process(tmp_path / "store", "A")) as process:
        before = with_production(process, tmp_path)
        release = release_of(reversed_magic(tmp_path), V2)
        with pytest.raises(GgufError):
            place(process.open(), release, check)
        assert process.bytes() == before
        assert answers(process)


def test_a_create_in_which_the_host_dies_is_not_sent_again(tmp_path: Path) -> None:
    """With our own check taken away: as a file would that we do not yet know to be deadly."""
    with serving(Process(tmp_path / "store", "A")) as process:
        before = with_production(process, tmp_path)
        release = release_of(reversed_magic(tmp_path), V2)
        with pytest.raises(HostLost, match="no longer answers"):
            place(process.open(), release, lambda path: None)
        assert process.child.wait(10) == 2
        process.start()
        assert before.items() <= process.bytes().items()
        assert answers(process)


def reversed_magic(folder: Path) -> Path:
    path = folder / "bad.gguf"
    path.write_bytes(b"FUGG" + write_model(folder / "good.gguf").read_bytes()[4:])
    return path


def test_a_host_that_has_no_room_refuses_and_says_how_much_to_free(tmp_path: Path) -> None:
    with serving(Process(tmp_path / "store", "C", ("--disk-bytes", "200000"))) as process:
        before = with_production(process, tmp_path)
        release = release_of(write_model(tmp_path / "v2.gguf", seed=2), V2)
        with pytest.raises(HostRefused, match="three times"):
            place(process.open(), release, check)
        assert process.bytes() == before
        assert answers(process)


def test_a_version_that_is_refused_after_it_was_made_is_taken_away_again(tmp_path: Path) -> None:
    with serving(Process(tmp_path / "store")) as process:
        before = with_production(process, tmp_path)
        wrong = Smoke(ASK, lambda text: text == "never this", GREEDY)
        release = release_of(write_model(tmp_path / "v2.gguf", seed=2), V2, smoke=(wrong,))
        with pytest.raises(HostRefused, match="0 of 1 smoke prompts"):
            place(process.open(), release, check)
        assert process.bytes() == before
        assert len(process.open().resident()) == 1


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """A server that gives every request the same bytes, or none at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _address = server.accept()
                except OSError:
                    return
                kept.append(connection)
                connection.recv(65536)
                if answer is not None:
                    connection.sendall(answer)
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in kept:
            connection.close()


GARBAGE = [
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>hello</html>",
    b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"models":"none","version":7}',
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[1, 2]",
    b"\x00\x01\x02\x03 no HTTP at all\r\n\r\n",
    b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\xff\xfe\xfd\xfc",
]


@pytest.mark.parametrize("answer", GARBAGE)
def test_a_host_that_answers_garbage_is_told_from_one_that_works(tmp_path: Path, answer: bytes) -> None:
    release = release_of(write_model(tmp_path / "v2.gguf"), V2)
    with listening(answer) as url, pytest.raises((HostDown, HostRefused)):
        place(open_host("ollama", url, allow_private=True, timeout_s=5), release, check)


def test_a_host_that_stalls_is_given_up_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama, "UPLOAD_TIMEOUT_S", 0.5)
    release = release_of(write_model(tmp_path / "v2.gguf"), V2)
    with listening(None) as url:
        host = open_host("ollama", url, allow_private=True, timeout_s=0.5)
        with pytest.raises(HostDown):
            host.probe()
        with pytest.raises(HostDown):
            host.push_blob(release.path, release.digest)


def test_a_host_that_stands_still_in_an_upload_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama, "UPLOAD_TIMEOUT_S", 1.0)
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    with serving(Process(tmp_path / "store")) as process:
        stop = At(8 << 20, lambda: os.kill(process.child.pid, signal.SIGSTOP))
        host = open_host("ollama", process.url, allow_private=True, timeout_s=1)
        with pytest.raises(HostDown):
            host.push_blob(path, "sha256:" + "1" * 64, stop.sent)
