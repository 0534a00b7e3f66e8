"""The Python client as its user has it: fetched from the installation, checked by mypy, and used over a real socket."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.test import Client as Browser

from agency.api import api
from agency.api.auth import Key
from pipelines.models import Example
from tenants.models import Client
from tests import factories
from tests.flow.gateway.double import asgi_server

ROWS = [{"input": f"Where is parcel {n}?", "output": "delivery"} for n in range(40)]


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Path:
    answer = Browser().get("/rest/v1/retune_client.py")
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/x-python")
    path = tmp_path_factory.mktemp("client") / "retune_client.py"
    path.write_bytes(answer.content)
    return path


@pytest.fixture(scope="module")
def module(fetched: Path) -> Any:
    spec = importlib.util.spec_from_file_location("retune_client", fetched)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def url(transactional_db: None) -> Iterator[str]:
    with asgi_server(get_asgi_application()) as address:
        yield address


def test_every_operation_of_a_key_is_a_method(module: Any) -> None:
    keyed = [one for one in api.operations() if any(isinstance(key, Key) for key in one.auth_callbacks)]
    assert {api.get_openapi_operation_id(one) for one in keyed} <= set(dir(module.Retune))


def test_it_is_typed_to_the_last_line(fetched: Path) -> None:
    use = fetched.with_name("use.py")
    use.write_text(
        "from retune_client import Retune\n"
        "def status(retune: Retune) -> str:\n"
        "    return retune.read_run('support', 1)['status']\n"
        "def wrong(retune: Retune) -> int:\n"
        "    return retune.read_run('support', 1)['status']\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(fetched.parent), str(use)]
    done = subprocess.run(command, check=False, cwd=fetched.parent, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[:-1] == [
        'use.py:5: error: Incompatible return value type (got "str", expected "int")  [return-value]'
    ]


def test_examples_go_in_as_a_stream_and_a_run_comes_out(module: Any, url: str, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    retune = module.Retune(url, factories.make_key(acorn))

    batch = retune.upload_examples("support", (row for row in ROWS), idempotency_key="monday")
    again = retune.upload_examples("support", ROWS, idempotency_key="monday")
    run = retune.order_run("support", reason="fresh data")

    assert (batch["rows"], batch["is_complete"], again["id"]) == (40, True, batch["id"])
    with factories.inside(pipeline):
        assert Example.objects.count() == 40
    assert retune.read_run("support", run["number"])["occasion"]["kind"] == "api"
    assert [one["number"] for one in retune.list_runs("support", limit=5)["items"]] == [run["number"]]


def test_a_model_goes_in_as_an_open_file(module: Any, url: str, acorn: Client) -> None:
    factories.make_pipeline(acorn)
    retune = module.Retune(url, factories.make_key(acorn))

    retune.pause_pipeline("support", reason="a run would work for minutes")
    for body, sentence in ((b"hello", "neither a GGUF file"), (b"GGUF" + bytes(9), "paused")):
        with pytest.raises(module.Refused, match=sentence):
            retune.import_a_model("support", io.BytesIO(body), name="v3.gguf", reason="the studio")


def test_a_refusal_is_the_servers_sentence_with_the_id_of_its_request(module: Any, url: str, acorn: Client) -> None:
    factories.make_pipeline(acorn)
    retune = module.Retune(url, factories.make_key(acorn))

    with pytest.raises(module.Refused, match=r"409 refused: \w+") as refused:
        retune.order_drill("support")
    assert len(refused.value.request_id) == 32
    with pytest.raises(module.Refused, match="401 unauthorised"):
        module.Retune(url, "rk_nobody").list_pipelines()
    with pytest.raises(module.Refused, match="404 not_found"):
        retune.read_pipeline("nothing")


class Way(BaseHTTPRequestHandler):
    """A proxy that has lost its server once, then sends everybody elsewhere."""

    def do_GET(self) -> None:
        self.server.heard.append(self.headers["Authorization"])  # type: ignore[attr-defined]
        self.send_response(502 if len(self.server.heard) == 1 else 302)  # type: ignore[attr-defined]
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_GET

    def log_message(self, *_args: Any) -> None:
        return


@pytest.fixture
def way() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    server.heard = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_reading_is_tried_again_and_the_key_follows_no_redirect(module: Any, way: Any) -> None:
    with pytest.raises(module.Refused, match="302"):
        module.Retune(f"http://127.0.0.1:{way.server_port}", "rk_secret").list_pipelines()
    assert len(way.heard) == 2


@pytest.mark.parametrize("change", [
    lambda retune: retune.order_run("support"),
    lambda retune: retune.change_settings("support", settings={}, base=3),
], ids=["POST", "PUT"])  # fmt: skip
def test_what_changes_something_is_never_sent_twice(module: Any, way: Any, change: Callable[[Any], Any]) -> None:
    with pytest.raises(module.Refused, match="502"):
        change(module.Retune(f"http://127.0.0.1:{way.server_port}", "rk_secret"))
    assert len(way.heard) == 1


def test_an_address_without_a_scheme_is_refused_at_once(module: Any) -> None:
    with pytest.raises(ValueError, match="no http"):
        module.Retune("retune.example", "rk_secret")
