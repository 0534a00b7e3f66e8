"""The agent's parts for themselves: what it lets through to its host, its spool, its terms, and what it imports."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from agency.agent import mirror as mirroring
from agency.agent.hands import is_allowed
from agency.agent.mirror import Mirror
from agency.agent.serving import Terms
from agency.agent.spool import BATCH_BYTES, Spool, batches
from agency.gateway.meter.bodies import KeptBody
from agency.gateway.meter.judge import Record
from agency.gateway.routes.snapshot import ClientRoutes
from agency.gateway.routes.store import document
from agency.machines.programs import AGENT, WORKER, Kind, pack
from pipelines.worker.link import Answer, Link, Refused

BLOB = f"/api/blobs/sha256:{'0' * 64}"
# Whatever those bring along.
BROUGHT = {
    "aiohappyeyeballs", "aiosignal", "asgiref", "attr", "cffi", "click", "frozenlist", "h11", "httpcore2", "idna",
    "multidict", "propcache", "sqlparse", "typing_extensions", "yarl",
}  # fmt: skip
MODULE_OF = {"google-re2": "re2", "jsonschema-rs": "jsonschema_rs"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/version", True),
        ("POST", "/api/create", True),
        ("HEAD", BLOB, True),
        ("POST", BLOB, True),
        ("POST", "/v1/chat/completions", True),
        ("DELETE", "/api/delete", True),
        ("POST", "/api/pull", False),
        ("POST", "/api/push", False),
        ("GET", "/api/create", False),
        ("POST", BLOB + "/../../pull", False),
        ("GET", "http://169.254.169.254/", False),
        ("POST", "/api/chat\nHost: other", False),
        ("GET", "/api/tags?x=1", False),
    ],
)
def test_a_few_things_are_asked_of_the_host_and_nothing_else(method: str, path: str, allowed: bool) -> None:
    assert is_allowed(method, path) is allowed


class Told(Link):
    """Headquarters that keeps what it was sent, or refuses it."""

    sent: list[bytes]
    refuses: int = 0
    # As headquarters says it; a proxy before it has pages of its own, and may take bodies up to a size.
    says: bytes = b'{"error": {"code": "no", "message": "no"}}'
    most_bytes: int = 0

    def once(self, method: str, url: str, body: bytes | None = None, headers: Any = None) -> Answer:
        if self.refuses and len(body or b"") > self.most_bytes:
            return Answer(self.refuses, self.says, {})
        self.sent.append(body or b"")
        return Answer(200, b'{"taken": 1, "refused": 0}', {})


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    link = Told("https://retune.example", "ra_x", room="agent")
    link.sent = []
    made = Spool(link, tmp_path / "records")
    made.open()
    return made


def record(number: int) -> Record:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return Record(
        client_id=1, agency_id=1, pipeline_id=1, version_id=1, rollout_id=None, request_id=f"r{number}", host="shop",
        arm="production", key_hash="k", at=at, finished_at=at, latency_ms=1.0, status=200, is_error=False,
        is_transport_error=False, is_bad=None, is_after_load=False, input_tokens=1, output_tokens=1,
    )  # fmt: skip


def test_what_was_written_is_sent_oldest_first_and_then_gone(spool: Spool) -> None:
    spool.write(1, [record(1)])
    spool.write(1, [record(2), record(3)])
    again = opened(spool)  # As after a restart.
    assert (len(again.segments), again.waiting) == (1, 3)
    again.write(1, [record(4)])
    again.send()
    sent = again.link.sent  # type: ignore[attr-defined]
    assert [body.count(b"request_id") for body in sent] == [3, 1]
    assert b'"r1"' in sent[0] and b"client_id" not in sent[0] and b"shop" not in sent[0]
    assert left(again) == []


def opened(spool: Spool) -> Spool:
    again = Spool(spool.link, spool.folder)
    again.open()
    return again


def left(spool: Spool) -> list[Path]:
    return list(spool.folder.iterdir())


def test_weeks_of_small_writes_are_a_few_files(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agency.agent.spool.SEGMENT_BYTES", 20_000)
    for number in range(400):
        spool.write(1, [record(number)])
    size = sum(place.stat().st_size for place in left(spool))
    assert size / 20_000 <= len(left(spool)) <= size / 20_000 + 2
    assert opened(spool).waiting == spool.waiting == 400


def test_a_line_that_a_power_cut_left_half_written_holds_nothing_back(spool: Spool) -> None:
    spool.write(1, [record(1), record(2)])
    place = left(spool)[0]
    place.write_bytes(place.read_bytes()[:-40])
    again = opened(spool)
    again.send()
    assert again.link.sent[0].count(b"request_id") == 1  # type: ignore[attr-defined]
    assert left(again) == []


def test_on_a_full_disk_a_write_fails_whole_and_the_next_one_succeeds(spool: Spool) -> None:
    spool.write(1, [record(1)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (left(spool)[0].stat().st_size + 50, limits[1]))
        with pytest.raises(OSError):
            spool.write(1, [record(2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert spool.waiting == 1
    spool.write(1, [record(3)])
    spool.send()
    sent = b"".join(spool.link.sent)  # type: ignore[attr-defined]
    assert b'"r1"' in sent and b'"r3"' in sent and b'"r2"' not in sent


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_batch_that_headquarters_cannot_read_holds_nothing_back(spool: Spool, status: int) -> None:
    spool.write(1, [record(1)])
    spool.link.refuses = status  # type: ignore[attr-defined]
    spool.send()
    assert (left(spool), spool.dropped) == ([], 1)


@pytest.mark.parametrize("status", [403, 404])
def test_any_other_no_keeps_the_records(spool: Spool, status: int) -> None:
    spool.write(1, [record(1)])
    spool.link.refuses = status  # type: ignore[attr-defined]
    with pytest.raises(Refused):
        spool.send()
    assert (len(left(spool)), spool.dropped) == (1, 0)


def test_a_proxy_that_takes_no_large_bodies_costs_no_records(spool: Spool) -> None:
    link, page = spool.link, b"<html>413 Request Entity Too Large</html>"
    assert isinstance(link, Told)
    spool.write(1, [record(number) for number in range(10)])
    link.refuses, link.says = 413, page
    with pytest.raises(Refused, match="client_max_body_size"):
        spool.send()
    assert (spool.waiting, spool.dropped, link.sent) == (10, 0, [])
    link.most_bytes = 1200
    spool.send()
    assert (left(spool), spool.dropped) == ([], 0)
    assert b"".join(link.sent).count(b"request_id") == 10 and all(len(body) <= 1200 for body in link.sent)


def test_a_record_too_large_for_a_proxy_is_counted_without_its_texts(spool: Spool) -> None:
    link = spool.link
    assert isinstance(link, Told)
    texts = KeptBody("x" * 5000, "y", "d")
    spool.write(1, [replace(record(1), body=texts), record(2)])
    link.refuses, link.says, link.most_bytes = 413, b"<html>413</html>", 1200

    spool.send()

    sent = b"".join(link.sent)
    assert (left(spool), spool.dropped) == ([], 0)
    assert sent.count(b"request_id") == 2 and b"xxx" not in sent


def test_a_full_spool_drops_the_oldest_and_counts_them(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agency.agent.spool.SEGMENT_BYTES", 1)
    spool.write(1, [record(0), record(10)])
    spool.most_bytes = 2 * left(spool)[0].stat().st_size
    for number in range(1, 5):
        spool.write(1, [record(number), record(number + 10)])
    spool.send()
    sent = b"".join(spool.link.sent)  # type: ignore[attr-defined]
    assert spool.dropped == 6 and b'"r4"' in sent and b'"r3"' in sent and b'"r2"' not in sent
    assert spool.waiting == 0


def test_batches_stay_below_what_a_request_takes() -> None:
    large: dict[str, object] = {"body": "x" * (BATCH_BYTES // 3)}
    found = list(batches([large] * 7))
    assert [len(batch) for batch in found] == [2, 2, 2, 1]
    assert [len(batch) for batch in batches([{"id": 1}] * 1001)] == [500, 500, 1]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("RETUNE_LISTEN", "8430", "an address and a port"),
        ("RETUNE_OLLAMA_URL", "localhost:11434", "is not an address"),
    ],
)
def test_terms_that_cannot_work_are_refused_with_an_example(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv("RETUNE_URL", "https://retune.example")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=sentence):
        Terms.from_environment()


def test_the_file_imports_what_it_lists_and_nothing_of_an_installation(tmp_path: Path) -> None:
    pack(tmp_path / "agent.pyz", AGENT)
    look = (
        "import sys; before = {*sys.modules, *sys.stdlib_module_names}; sys.path.insert(0, sys.argv[1]);"
        "import agency.agent.serving, uvicorn;"
        "from agency.gateway.meter import redaction; from pipelines.metrics import formats;"
        "print(agency.agent.serving.__file__);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - before))"
    )
    command = [sys.executable, "-c", look, str(tmp_path / "agent.pyz")]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0].startswith(str(tmp_path))
    known = {MODULE_OF.get(name, name.replace("-", "_")) for name in AGENT.needed} | BROUGHT
    found = {name for name in said[1].split() if not name.startswith("_")}
    assert found - known <= {"agency", "pipelines", "tenants", "cython_runtime"}


@pytest.mark.parametrize("kind", [AGENT, WORKER], ids=lambda kind: kind.name)
def test_a_machine_that_has_nothing_yet_is_told_what_to_install(tmp_path: Path, kind: Kind) -> None:
    pack(tmp_path / "program.pyz", kind)
    run = [sys.executable, "-I", "-S", str(tmp_path / "program.pyz")]  # Without any package.
    needs = subprocess.run([*run, "requirements"], capture_output=True, text=True, check=True).stdout
    assert set(kind.needed) <= {re.split(r"[\[=]", line)[0] for line in needs.splitlines()}
    for words, code in ((["--help"], 0), (["help"], 0), ([], 2)):
        said = subprocess.run([*run, *words], capture_output=True, text=True, check=False, env={})
        assert (said.returncode, said.stderr) == (code, "") and "RETUNE_URL" in said.stdout


def test_it_says_what_it_needs_and_how_it_is_used(tmp_path: Path) -> None:
    pack(tmp_path / "agent.pyz", AGENT)
    run = [sys.executable, str(tmp_path / "agent.pyz")]
    needs = subprocess.run([*run, "requirements"], capture_output=True, text=True, check=True, env={}).stdout
    assert [line.partition("==")[0] for line in needs.splitlines()] == sorted(AGENT.needed)
    bare = subprocess.run(run, capture_output=True, text=True, check=False, env={})
    assert bare.returncode == 2 and "RETUNE_OLLAMA_URL" in bare.stdout
    env = {"RETUNE_URL": "http://retune.example", "RETUNE_TOKEN": "ra_x", "HOME": str(tmp_path)}
    plain = subprocess.run(run, capture_output=True, text=True, check=False, env=env)
    assert plain.returncode == 1 and "an https:// address is needed" in plain.stderr


class Gateways(Link):
    """Headquarters behind an address: each question goes to the next of its gateways, which says its routes."""

    says: list[tuple[str, int | None]]
    asked: list[str]

    def ask(self, method: str, url: str, stop: Any, body: bytes | None = None, headers: Any = None) -> Answer:
        self.asked.append(url.partition("?")[2])
        digest, serial = self.says.pop(0)
        told = None if serial is None else document(ClientRoutes(2, "acorn", frozenset({"digest"}), {}, serial))
        return Answer(200, orjson.dumps({"digest": digest, "called": 0, "client": told}), {})


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    monkeypatch.setattr(mirroring, "BETWEEN_S", 0.05)
    link = Gateways("https://retune.example", "ra_x", room="agent")
    link.asked = []
    return Mirror(link, tmp_path / "routes.json", "http://127.0.0.1:11434", lambda: None, lambda: None)


def hears(mirror: Mirror, *says: tuple[str, int | None]) -> list[int]:
    """The serials that it shows after each answer."""
    assert isinstance(mirror.link, Gateways)
    mirror.link.says = list(says)
    shown = []
    for _ in says:
        mirror._wait_once()
        shown.append(mirror.serial)
    return shown


def test_older_routes_of_another_gateway_are_not_shown(mirror: Mirror) -> None:
    ours, older, silence = ("new", 7), ("old", 5), ("new", None)
    assert hears(mirror, ours, older, silence, older, older, silence, older) == [7] * 7
    assert isinstance(mirror.link, Gateways)
    assert mirror.link.asked[0] == "have=&serial=0&called=0"
    assert set(mirror.link.asked[1:]) == {"have=new&serial=7&called=0"}


def test_older_routes_that_nobody_contradicts_are_those_of_a_restored_database(mirror: Mirror) -> None:
    assert hears(mirror, ("new", 7), ("old", 5), ("old", 5), ("old", 5), ("next", 6)) == [7, 7, 7, 5, 6]


def test_between_two_pictures_of_one_serial_there_is_a_pause(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(mirror._stopping, "wait", pauses.append)
    hears(mirror, ("one", 7), ("two", 7), ("one", 7), ("newer", 8))
    assert pauses == [0.05, 0.05] and mirror.digest == "newer"
