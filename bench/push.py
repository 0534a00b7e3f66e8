"""How fast a file of 4 GB reaches a host, beside plain curl; what memory that takes, and what a second push sends.

The file is sparse, so that the disk read costs little; the embedded host hashes and writes all of it. Both take turns
on the same host, and then on one that throws the bytes away, where the sender is all that is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import file_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.report import Figure, at_least, at_most, exactly, report, wants_json
from tests.unit.ollama_host.host_process import running_host

GIGABYTES = 0.5 if os.environ.get("BENCH_QUICK") else 4.0
ROUNDS = 3
TARGETS = {"vs_curl": at_least(0.6), "rss_mb": at_most(64), "second_push_bytes": exactly(0)}
# Prints seconds, bytes sent, and the peak of the process's memory in kB (VmHWM: unlike ru_maxrss without its parent's).
PUSH = """
import json, re, sys, time
from pathlib import Path
from pipelines.hosts import open_host
began = time.monotonic()
host = open_host("ollama", sys.argv[1], allow_private=True)
sent = host.push_blob(Path(sys.argv[2]), sys.argv[3], lambda done, total: None)
took = time.monotonic() - began
print(json.dumps([took, sent, int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])]))
"""


def main() -> None:
    as_json = wants_json()
    figures: dict[str, Figure] = dict.fromkeys(TARGETS)
    with tempfile.TemporaryDirectory(prefix="retune-bench-") as name:
        path, digest = sparse(Path(name))
        figures |= {"bytes": path.stat().st_size} | on_embedded_host(path, digest, Path(name) / "store")
        figures |= on_sink(path, digest)
    report("push", figures, TARGETS, as_json)


def sparse(folder: Path) -> tuple[Path, str]:
    """A file that begins as a GGUF does, and its digest."""
    path = folder / "model.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF" + (3).to_bytes(4, "little"))
        file.truncate(int(GIGABYTES * 2**30))
    with path.open("rb") as file:
        return path, f"sha256:{file_digest(file, 'sha256').hexdigest()}"


def on_embedded_host(path: Path, digest: str, store: Path) -> dict[str, Figure]:
    blob = store / "blobs" / digest.replace(":", "-")
    with running_host(store, "C") as url:
        found = in_turns(url, path, digest, lambda: blob.unlink(missing_ok=True))
        again = push(url, path, digest)
    return found | {"second_push_bytes": again[1], "second_push_s": again[0]}


def on_sink(path: Path, digest: str) -> dict[str, Figure]:
    with sink() as (url, forget):
        found = in_turns(url, path, digest, forget)
    return {f"sink_{name}": found[name] for name in ("mb_per_s", "curl_mb_per_s", "vs_curl")}


def in_turns(url: str, path: Path, digest: str, forget: Callable[[], None]) -> dict[str, Figure]:
    """Medians of several rounds, ours and curl's one after the other. curl goes last: the blob is there at the end."""
    if shutil.which("curl") is None:
        return {"vs_curl": None, "vs_curl_why": "curl is not on this machine"}
    ours, theirs = [], []
    for _ in range(ROUNDS):
        forget()
        ours.append(push(url, path, digest))
        forget()
        theirs.append(curl(url, path, digest))
    seconds, curl_s = statistics.median(row[0] for row in ours), statistics.median(theirs)
    megabytes = path.stat().st_size / 2**20
    return {
        "vs_curl": curl_s / seconds,
        "rss_mb": max(row[2] for row in ours) / 1024,
        "mb_per_s": megabytes / seconds,
        "curl_mb_per_s": megabytes / curl_s,
    }


def push(url: str, path: Path, digest: str) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", PUSH, url, str(path), digest], capture_output=True, text=True, check=True
    )
    return list(json.loads(done.stdout))


def curl(url: str, path: Path, digest: str) -> float:
    began = time.monotonic()
    command = ["curl", "-sf", "-X", "POST", "-T", str(path), f"{url}/api/blobs/{digest}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


@contextmanager
def sink() -> Iterator[tuple[str, Callable[[], None]]]:
    """A host that takes blobs and throws them away; what comes beside its URL makes it forget."""
    known: set[str] = set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (_Sink,), {"known": known}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", known.clear
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: set[str]

    def log_message(self, format: str, *args: Any) -> None:
        return

    def _reply(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self._reply(200 if self.path in self.known else 404)

    def do_POST(self) -> None:
        left, buffer = int(self.headers["Content-Length"]), memoryview(bytearray(1 << 20))
        while left and (count := self.rfile.readinto(buffer[: min(left, len(buffer))])):
            left -= count
        self.known.add(self.path)
        self._reply(201)


if __name__ == "__main__":
    main()
