"""A small fine-tuning service by OpenAI's wire format, on the loopback, that really trains with peft.

What a test may order: `lose(path)` answers the next POST to it with nothing, after having done it; `status` answers
everything with that.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import threading
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pipelines.trainers import Order, Recipe, load

KEY = "sk-reference"
RECIPE = ("lora_rank", "lora_alpha", "learning_rate", "epochs", "batch_size", "seed", "max_tokens", "precision")


class Reference:
    """`steps` GETs of a job pass before its training is over; `trains` False leaves it running."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self.base = folder, base
        self.files: dict[str, dict] = {}
        self.jobs: dict[str, dict] = {}
        self.calls: list[tuple[str, str]] = []
        self.lost: list[str] = []
        self.looks, self.trains, self.archive = 1, True, None
        self.loss = 0.5
        self.status = 0
        folder.mkdir(parents=True, exist_ok=True)

    def lose(self, path: str) -> None:
        self.lost.append(path)

    def count(self, method: str, path: str) -> int:
        return self.calls.count((method, path))

    def add_file(self, name: str, body: bytes, purpose: str) -> dict:
        identity = f"file-{len(self.files) + 1}"
        (self.folder / identity).write_bytes(body)
        facts = {"id": identity, "object": "file", "bytes": len(body), "created_at": 1, "filename": name}
        self.files[identity] = facts | {"purpose": purpose, "status": "processed"}
        return self.files[identity]

    def add_job(self, wanted: dict) -> dict:
        identity = f"ftjob-{len(self.jobs) + 1}"
        hyper = ((wanted.get("method") or {}).get("supervised") or {}).get("hyperparameters") or {}
        self.jobs[identity] = {
            "id": identity, "object": "fine_tuning.job", "created_at": 1, "status": "queued", "model": wanted["model"],
            "training_file": wanted["training_file"], "result_files": [], "trained_tokens": None, "error": None,
            "metadata": wanted.get("metadata") or {}, "hyperparameters": hyper, "seed": wanted.get("seed") or 0,
            "fine_tuned_model": None, "finished_at": None, "organization_id": "org", "validation_file": None,
            "looks": 0,
        }  # fmt: skip
        return self.jobs[identity]

    def look(self, job: dict) -> dict:
        job["looks"] += 1
        if job["status"] in ("queued", "running"):
            job["status"] = "running"
            if self.trains and job["looks"] > self.looks:
                self._train(job)
        return job

    def _train(self, job: dict) -> None:
        told = {name: job["metadata"][name] for name in RECIPE if name in job["metadata"]}
        recipe = Recipe.parse(
            {name: value if name == "precision" else json.loads(value) for name, value in told.items()}
        )
        out = self.folder / job["id"]
        order = Order(self.base, self.folder / job["training_file"], recipe, out / "scratch", out / "adapter")
        load("peft").train(order, lambda share, note, numbers: None)
        archive = self.archive or self._packed(out)
        result = self.add_file("adapter.tar.gz", archive.read_bytes(), "fine-tune-results")
        job |= {"status": "succeeded", "result_files": [result["id"]], "trained_tokens": 4321, "finished_at": 2}

    def _packed(self, out: Path) -> Path:
        with tarfile.open(out / "adapter.tar.gz", "w:gz") as tar:
            tar.add(out / "adapter", "adapter")
        shutil.rmtree(out / "scratch")
        return out / "adapter.tar.gz"


class Handler(BaseHTTPRequestHandler):
    place: Reference

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_DELETE = do_GET

    def log_message(self, *_: object) -> None: ...

    def _handle(self) -> None:
        path = urlsplit(self.path).path.removeprefix("/v1")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.place.calls.append((self.command, path))
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._say({"error": {"message": "Incorrect API key provided."}}, 401)
        if self.place.status:
            return self._say({"error": {"message": "planned"}}, self.place.status)
        answer = self._answer(path.strip("/").split("/"), body)
        if path in self.place.lost and self.command == "POST":
            self.place.lost.remove(path)
            self.connection.close()
            return None
        if isinstance(answer, bytes):
            return self._send(answer, 200, "application/octet-stream")
        return self._say(*answer) if isinstance(answer, tuple) else self._say(answer)

    def _answer(self, parts: list[str], body: bytes):
        said = self._of_files(parts, body) if parts[0] == "files" else self._of_jobs(parts[1:], body)
        return said or ({"error": {"message": "not found"}}, 404)

    def _of_files(self, parts: list[str], body: bytes):
        place = self.place
        match self.command, parts:
            case "POST", ["files"]:
                return place.add_file(*self._form(body))
            case "GET", ["files"]:
                return self._listed(place.files)
            case "GET", ["files", identity, "content"] if identity in place.files:
                return (place.folder / identity).read_bytes()
            case "DELETE", ["files", identity] if place.files.pop(identity, None):
                return {"id": identity, "object": "file", "deleted": True}
        return None

    def _of_jobs(self, parts: list[str], body: bytes):
        place = self.place
        match self.command, parts:
            case "POST", ["jobs"]:
                wanted = json.loads(body)
                known = wanted.get("training_file") in place.files
                return place.add_job(wanted) if known else ({"error": {"message": "no such training_file"}}, 400)
            case "GET", ["jobs"]:
                return self._listed(place.jobs)
            case "GET", ["jobs", identity] if identity in place.jobs:
                return place.look(place.jobs[identity])
            case "GET", ["jobs", identity, "events"] if identity in place.jobs:
                event = {"id": "e", "object": "fine_tuning.job.event", "created_at": 1, "level": "info"}
                data = {"step": place.jobs[identity]["looks"], "train_loss": place.loss}
                return {"object": "list", "has_more": False, "data": [event | {"message": "step", "data": data}]}
            case "POST", ["jobs", identity, "cancel"] if identity in place.jobs:
                place.jobs[identity]["status"] = "cancelled"
                return place.jobs[identity]
        return None

    def _listed(self, rows: dict[str, dict]) -> dict:
        asked = parse_qs(urlsplit(self.path).query)
        found = list(reversed(rows.values()))
        after = asked.get("after", [""])[0]
        begin = next((n + 1 for n, row in enumerate(found) if row["id"] == after), 0)
        page = found[begin : begin + min(int(asked.get("limit", ["20"])[0]), 2)]
        return {"object": "list", "data": page, "has_more": begin + len(page) < len(found)}

    def _form(self, body: bytes) -> tuple[str, bytes, str]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = {}
        for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
            parts[part.get_param("name", header="content-disposition")] = part
        file = parts["file"]
        return file.get_filename(), file.get_payload(decode=True), parts["purpose"].get_content().strip()

    def _say(self, document: dict, status: int = 200) -> None:
        self._send(json.dumps(document).encode(), status, "application/json")

    def _send(self, body: bytes, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(place: Reference):
    """The service's base address."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"place": place}))
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}/v1"
    finally:
        made.shutdown()
        made.server_close()
        thread.join()
