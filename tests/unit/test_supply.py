"""What the product stands on: its bill of materials, and the question after known weaknesses, asked of a small server
that answers as OSV does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools import audit, dependencies

PINS = {"django": "5.2.0", "yarl": "1.0.0"}
WEAK = {
    "id": "GHSA-weak",
    "aliases": ["CVE-2026-1"],
    "summary": "Something is weak.",
    "affected": [
        {
            "package": {"name": "yarl", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}],
        }
    ],
}
FUTURE = 'until = 2026-12-31\nreason = "Only on Windows."\n'


@pytest.fixture
def osv(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """`known`: {(name, version): weaknesses}; `asked`: what was; `dies_after`: calls before it answers no more."""
    world = SimpleNamespace(known={}, asked=[], dies_after=99)

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            world.asked.append((query["package"]["name"], query["version"]))
            found = world.known.get(world.asked[-1])
            text = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200 if len(world.asked) <= world.dies_after else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(audit, "SERVICE", f"http://127.0.0.1:{server.server_port}/v1/query")
    monkeypatch.setattr(dependencies, "all_pins", lambda: PINS)
    yield world
    server.shutdown()
    server.server_close()


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ignored.toml"
    path.write_text("")
    monkeypatch.delenv("AUDIT", raising=False)
    monkeypatch.setattr(audit, "FIRST_S", 120)  # Starting Python takes long on a busy machine.
    monkeypatch.setattr(audit, "IGNORED", path)
    return path


def test_every_package_is_asked_and_none_weak_is_well(
    osv: SimpleNamespace, listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main() == 0
    assert set(osv.asked) == set(PINS.items())
    assert "2 packages asked, 0 weaknesses known" in capsys.readouterr().out


def test_a_known_weakness_fails_with_the_version_that_fixes_it(
    osv: SimpleNamespace, listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    osv.known["yarl", "1.0.0"] = [WEAK]

    assert audit.main() == 1
    assert "yarl 1.0.0: CVE-2026-1, GHSA-weak; fixed in 1.0.1." in capsys.readouterr().out


@pytest.mark.parametrize("name", ["GHSA-weak", "CVE-2026-1"])
def test_one_that_is_ignored_with_a_reason_and_a_day_does_not_fail(
    osv: SimpleNamespace, listed: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    osv.known["yarl", "1.0.0"] = [WEAK]
    listed.write_text(f'[[ignored]]\nid = "{name}"\nreason = "Never reached."\nuntil = {date.today()}\n')

    assert audit.main() == 0
    assert "1 weaknesses known, 1 ignored" in capsys.readouterr().out

    osv.known.clear()
    assert audit.main() == 0
    assert f"{name} is ignored and known no longer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (f'id = "A"\n{FUTURE}', ""),
        ('id = "A"\nreason = "Only on Windows."\nuntil = 2026-01-01\n', "look again"),
        ('id = "A"\nuntil = 2026-12-31\n', "needs an id, a reason and a day"),
        ('id = "A"\nreason = " "\nuntil = 2026-12-31\n', "needs an id, a reason and a day"),
        ('id = "A"\nreason = "Only on Windows."\nuntil = "2026-12-31"\n', "needs an id, a reason and a day"),
        (FUTURE, "An entry needs an id"),
    ],
)
def test_an_entry_that_is_over_or_has_no_reason_ignores_nothing(entry: str, told: str) -> None:
    entries, wrong = audit.ignored(f"[[ignored]]\n{entry}", date(2026, 11, 22))

    assert entries == (set() if told else {"A"})
    assert (told in wrong[0]) if told else not wrong


def test_an_entry_that_is_over_fails_without_asking_anybody(
    listed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUDIT", "off")
    listed.write_text('[[ignored]]\nid = "A"\nreason = "Never reached."\nuntil = 2020-01-01\n')

    assert audit.main() == 1
    assert "A was ignored until 2020-01-01" in capsys.readouterr().out


@pytest.mark.parametrize(("mode", "code"), [("ask", 0), ("require", 1), ("off", 0), ("perhaps", 2)])
def test_nobody_answering_fails_only_where_an_answer_is_required(
    listed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: str, code: int
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(audit, "SERVICE", f"http://127.0.0.1:{closed.getsockname()[1]}/v1/query")
        monkeypatch.setenv("AUDIT", mode)
        assert audit.main() == code
    said = capsys.readouterr().out
    assert ("Connection refused" in said) == (mode in ("ask", "require"))
    assert ("not asked: " in said) == (mode != "perhaps")


def test_a_service_that_takes_the_call_and_is_silent_is_given_up_within_seconds(
    listed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "FIRST_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(audit, "SERVICE", f"http://127.0.0.1:{silent.getsockname()[1]}/v1/query")
        begun = time.monotonic()
        assert audit.main() == 0
    assert time.monotonic() - begun < 30
    assert "not asked: no answer within 2 s" in capsys.readouterr().out


def test_a_name_that_never_resolves_is_given_up_within_seconds(
    listed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resolved = threading.Event()
    monkeypatch.setattr(audit, "THERE_S", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_asked, **_named: resolved.wait(60) and [])

    assert audit.main() == 0

    resolved.set()
    assert "not asked: api.osv.dev: no answer within 0.2 s" in capsys.readouterr().out


def test_one_that_breaks_off_in_the_middle_was_not_asked(
    osv: SimpleNamespace, listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    osv.dies_after = 2

    assert audit.main() == 0
    assert "not asked: " in capsys.readouterr().out


def test_the_bill_names_all_that_runs_and_is_the_same_for_the_same_pins(tmp_path: Path) -> None:
    bills = [tmp_path / "one.json", tmp_path / "two.json"]
    for seed, path in enumerate(bills):
        command = [sys.executable, "-m", "tools.sbom", str(path)]
        subprocess.run(command, cwd=dependencies.ROOT, env=os.environ | {"PYTHONHASHSEED": str(seed)}, check=True)

    told = json.loads(bills[0].read_text())
    needed = {dependencies.canonical(one.metadata["Name"]) for one in dependencies.needed(dependencies.product())}
    assert bills[0].read_bytes() == bills[1].read_bytes()
    assert {part["name"] for part in told["components"]} == needed | {"htmx", "tabler"}
    assert all(part["licenses"] for part in told["components"] if part["type"] == "library")
    requires = {row["ref"]: row.get("dependsOn", []) for row in told["dependencies"]}
    assert {line.partition("==")[0] for line in requires["retune"]} >= {"django", "torch", "celery"}
