"""Another program is taken when a person says so, compared, tried, and swapped whole; else nothing is touched."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agency.machines.programs import AGENT, WORKER, Kind, pack, packed

TOKEN = "a token of this test"


class Offering(ThreadingHTTPServer):
    """Headquarters with one door: its program, under a digest."""

    body, digest = b"", ""


class Door(BaseHTTPRequestHandler):
    server: Offering

    def do_GET(self) -> None:
        opens = self.headers["Authorization"] == f"Bearer {TOKEN}" and self.path.endswith("/program")
        self.send_response(200 if opens else 404)
        self.send_header("X-Retune-Digest", self.server.digest)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_said: object) -> None:
        return


@pytest.fixture
def offering() -> Iterator[Offering]:
    server = Offering(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def offer(server: Offering, kind: Kind, **files: str) -> str:
    """The packed program with other files in it; its digest."""
    out = io.BytesIO(packed(kind))
    with zipfile.ZipFile(out, "a") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    server.body = out.getvalue()
    server.digest = hashlib.sha256(server.body).hexdigest()
    return server.digest


def update(server: Offering, place: Path) -> subprocess.CompletedProcess[str]:
    url = f"http://127.0.0.1:{server.server_address[1]}"
    env = {"PATH": os.environ["PATH"], "RETUNE_URL": url, "RETUNE_TOKEN": TOKEN}
    env |= {"RETUNE_WORK_DIR": str(place.parent / "work"), "HOME": str(place.parent)}
    return subprocess.run(
        [sys.executable, str(place), "update"], env=env, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("kind", [AGENT, WORKER], ids=lambda kind: kind.name)
def test_it_is_swapped_whole_and_the_one_of_before_is_kept(offering: Offering, tmp_path: Path, kind: Kind) -> None:
    place = tmp_path / f"{kind.name}.pyz"
    pack(place, kind)
    before, digest = place.read_bytes(), offer(offering, kind, **{"newer.txt": "of a later release"})
    done = update(offering, place)
    assert (done.returncode, done.stderr) == (0, "")
    assert hashlib.sha256(place.read_bytes()).hexdigest() == digest
    assert place.with_name(f"{place.name}.before").read_bytes() == before
    assert os.access(place, os.X_OK) and TOKEN not in done.stdout
    assert sorted(one.name for one in tmp_path.glob("*pyz*")) == [place.name, f"{place.name}.before"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"agency/agent/requirements.txt": "no-such-package==1.0\n"}, "pip install no-such-package==1.0"),
        ({"agency/agent/program.py": "raise RuntimeError('of no use here')\n"}, "of no use here"),
        ({"agency/agent/serving.py": "raise RuntimeError('serves nothing here')\n"}, "serves nothing here"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_cannot_run_here_is_left_alone(
    offering: Offering, tmp_path: Path, files: dict[str, str], sentence: str
) -> None:
    place = tmp_path / "retune-agent.pyz"
    pack(place, AGENT)
    before = place.read_bytes()
    offer(offering, AGENT, **files)
    done = update(offering, place)
    assert done.returncode == 1 and sentence in done.stderr
    assert place.read_bytes() == before and [one.name for one in tmp_path.glob("*pyz*")] == [place.name]


def test_other_bytes_than_were_announced_are_never_run(offering: Offering, tmp_path: Path) -> None:
    place = tmp_path / "retune-agent.pyz"
    pack(place, AGENT)
    before = place.read_bytes()
    offer(offering, AGENT, **{"agency/agent/program.py": f"open({str(tmp_path / 'ran')!r}, 'w')\n"})
    offering.digest = "0" * 64
    done = update(offering, place)
    assert done.returncode == 1 and "not the file that was announced" in done.stderr
    assert place.read_bytes() == before and not (tmp_path / "ran").exists()
