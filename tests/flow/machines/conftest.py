"""Machines as their doors see them: what they say over HTTP, word by word."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client as Browser
from django.utils.timezone import now

from pipelines import plan
from pipelines.heavy import train
from tenants import machines, scope
from tenants.models import Agency, Machine, Pipeline
from tests.flow.conftest import pipeline, quick_jobs  # noqa: F401
from tests.unit.bundles import packing

ABILITIES = {"cores": 8, "memory_bytes": 64 * 2**30, "gpus": ["a GPU"], "torch": "2.13.0"}


ON = "base_model.model.model.layers.0.self_attn.q_proj"
TENSORS = {
    f"{ON}.lora_A.weight": {"dtype": "F32", "shape": [1, 256], "data_offsets": [0, 1024]},
    f"{ON}.lora_B.weight": {"dtype": "F32", "shape": [256, 1], "data_offsets": [1024, 2048]},
}
# An adapter of nothing, which lies on a weight of the base.
FITTING = packing.adapter() | {"adapter_model.safetensors": packing.safetensors(TENSORS, bytes(2048))}


class Box:
    """A machine with its token; `session` as its program makes one at each start."""

    def __init__(self, row: Machine, token: str) -> None:
        self.row, self.browser, self.session = row, Browser(), f"session of {token}"[:40]
        self.headers = {"Authorization": f"Bearer {token}"}

    def post(self, path: str, **body: Any) -> HttpResponse:
        sent = {"content_type": "application/json", "headers": self.headers}
        return self.browser.post(f"/rest/v1/machine/{path}", body, **sent)

    def hello(self, **abilities: Any) -> HttpResponse:
        return self.post("hello", **(ABILITIES | abilities))

    def claim(self) -> dict[str, Any] | None:
        answer = self.post("claim", session=self.session)
        assert answer.status_code in (200, 204), answer.content
        return answer.json() if answer.status_code == 200 else None

    def fetch(self, url: str, begin: int = 0) -> HttpResponse:
        return Browser().get(url, headers={"Range": f"bytes={begin}-"})

    def whole(self, url: str, size: int) -> bytes:
        body = b""
        while len(body) < size:
            body += self.fetch(url, len(body)).getvalue()
        return body

    def put(self, claim: dict[str, Any], name: str, body: bytes, offset: int = 0, digest: str = "") -> HttpResponse:
        digest = digest or hashlib.sha256(body).hexdigest()
        asked = f"version={claim['version']}&offset={offset}&digest={digest}"
        path = f"/rest/v1/machine/jobs/{claim['job']}/parts/{name}?{asked}"
        return self.browser.put(path, body, content_type="application/octet-stream", headers=self.headers)

    def done(self, claim: dict[str, Any], name: str, body: bytes, said: dict[str, Any] | None = None) -> HttpResponse:
        told = {name: {"digest": hashlib.sha256(body).hexdigest(), "size": len(body)}}
        said = {claim["kind"]: {"steps": 3}} if said is None else said
        return self.post(f"jobs/{claim['job']}/done", version=claim["version"], said=said, outputs=told)

    def beat(self, claim: dict[str, Any], **more: Any) -> HttpResponse:
        return self.post(f"jobs/{claim['job']}/beat", version=claim["version"], **more)


def box_of(agency: Agency, name: str = "box", queues: tuple[str, ...] = ("gpu",), is_trusted: bool = False) -> Box:
    with scope.agency_scope(agency.pk):
        row, token = machines.add_machine(agency, name, queues, is_trusted, actor="owner", now=now())
    box = Box(row, token)
    assert box.hello().status_code == 200
    return box


@pytest.fixture
def training(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:  # noqa: F811
    """A pipeline whose training is the real one; everything else is quick."""
    monkeypatch.setitem(plan.JOBS, "train", train.work)
    return pipeline


@pytest.fixture
def box(training: Pipeline) -> Box:
    return box_of(training.agency)


@pytest.fixture
def adapter() -> bytes:
    """A trained folder, as the tar that a machine sends."""
    return tar_of(FITTING)


def tar_of(files: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda info: None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, body in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            change(info)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def dataset_lines(body: bytes) -> list[Any]:
    return [json.loads(line) for line in body.splitlines()]
