"""Job push: one version onto one host, proven to serve. Resumable: what the host has is not sent again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from django.utils.timezone import now as clock

from pipelines.artifacts import store_of
from pipelines.engine.jobs import JobFailed, Work
from pipelines.fleet.alone import KEY, room_for
from pipelines.fleet.repair import INSTEAD_OF
from pipelines.hosts import Host as HostAdapter
from pipelines.hosts import HostDown, HostLost, HostRefused, Messages
from pipelines.hosts.naming import model_name
from pipelines.hosts.release import GREEDY, Release, Smoke, place
from pipelines.models import ModelVersion, Placement
from pipelines.reach import open_row
from pipelines.work.gguf_header import Header, check
from tenants.models import Host

PUSH_TIMEOUT_S = 600.0
SMOKE_TOKENS = 64
SENDING = 0.9  # share of the work that sending a file is taken for
CHATML_MARK = "<|im_start|>"
CHATML_GO = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


def work(work: Work) -> dict[str, Any]:
    job = work.job
    version = ModelVersion.objects.select_related("pipeline", "client").get(run=job.run)
    row = Host.objects.get(pk=job.spec["host"])
    with room_for(version, row) if job.spec.get(KEY) else nullcontext():
        return placed(version, row, work)[1]


def place_on(row: Host, version: ModelVersion, work: Work) -> tuple[str, str]:
    """The version's name on the host and the digest of its manifest there."""
    name, facts = placed(version, row, work)
    return name, facts["manifest_digest"]


def placed(version: ModelVersion, row: Host, work: Work) -> tuple[str, dict[str, Any]]:
    """The version's name on the host, where it now stands and serves, and the facts of its placing."""
    release = release_of(version)
    try:
        with closing(open_adapter(row)) as adapter:
            _make_way(adapter, release.name, work.job.spec.get(INSTEAD_OF, ""))
            found = place(adapter, release, check, Told(work))
    except HostRefused as error:
        raise JobFailed(f"{row.name}: {error}", permanent=True) from error
    except HostLost as error:
        raise JobFailed(f"{row.name}: {error}", is_final=True) from error
    except HostDown as error:
        raise JobFailed(f"{row.name}: {error}") from error
    record(version, row, release.name, asdict(found))
    return release.name, asdict(found)


def _make_way(host: HostAdapter, name: str, wrong: str) -> None:
    """Version tags are never overwritten: what drift found under the name goes first, and only that, by its digest."""
    if wrong and any((tag.name, tag.digest) == (name, wrong) for tag in host.tags()):
        host.delete(name)


@dataclass
class Told:
    """Puts on the run's page how far a push has come; ends it when the job is no longer its worker's."""

    work: Work
    began: float = field(default_factory=time.monotonic)

    def sent(self, done: int, total: int) -> None:
        if self.work.cancelled():
            raise JobFailed("the run was cancelled, or another worker has taken the push over")
        rate = done / max(time.monotonic() - self.began, 0.001)
        numbers = {"sent_mb": round(done / 1e6, 1), "of_mb": round(total / 1e6, 1), "mb_per_s": round(rate / 1e6, 1)}
        self.work.report(SENDING * done / max(total, 1), "sending the file", **numbers)

    def step(self, text: str) -> None:
        self.work.report(SENDING, text, **self.work.progress.get("numbers", {}))


def open_adapter(row: Host, timeout_s: float = PUSH_TIMEOUT_S) -> HostAdapter:
    return open_row(row, timeout_s)


def record(version: ModelVersion, row: Host, name: str, facts: dict[str, Any]) -> None:
    """A name that was pointed to the version stays expected there when it is placed anew."""
    earlier = Placement.objects.filter(version=version, host=row).first()
    kept = {"is_aliased": True} if earlier and earlier.facts.get("is_aliased") else {}
    fields = {"model_name": name, "status": "placed", "facts": facts | kept, "placed_at": clock()}
    owner = {"agency_id": version.agency_id, "client_id": version.client_id}
    Placement.objects.update_or_create(version=version, host=row, defaults=fields, create_defaults=fields | owner)


def release_of(version: ModelVersion) -> Release:
    """What is placed: the judged file, by digest, under a tag that is never written again."""
    store = store_of(version.client_id)
    path = store.verified(version.gguf_digest)
    header = check(path)
    jinja = header.chat_template
    is_chatml = CHATML_MARK in (jinja or "")
    stop = (*(("<|im_end|>",) if is_chatml else ()), *version.parameters.get("stop", ()))
    return Release(
        name=model_name(version.client.slug, version.pipeline.slug, version.number),
        path=path,
        digest=f"sha256:{version.gguf_digest}",
        lora=store.verified(version.lora_digest) if version.lora_digest else None,
        lora_digest=f"sha256:{version.lora_digest}" if version.lora_digest else "",
        parameters=parameters_of(version, stop),
        system=version.system or None,
        go_template=CHATML_GO if is_chatml else None,
        stop=stop,
        jinja=jinja,
        architecture=header.architecture,
        info=info_of(header),
        prompts=prompts_of(version),
        smoke=[_smoke(answer) for answer in version.card.get("golden_answers", []) if answer.get("messages")],
    )


def info_of(header: Header) -> dict[str, Any]:
    """What a host must show of the file, as far as the file says it."""
    keys = ("general.file_type", f"{header.architecture}.block_count")
    return {key: header.metadata[key] for key in keys if key in header.metadata}


def prompts_of(version: ModelVersion) -> list[tuple[Messages, str]]:
    """Conversations and the text that the training made of them, which the host must render to the letter.

    A baked system prompt changes those that bring none; nothing was trained under it.
    """
    asked = [(sample["messages"], sample["text"]) for sample in version.card.get("parity", [])]
    return [pair for pair in asked if not version.system or pair[0][0]["role"] == "system"]


def parameters_of(version: ModelVersion, stop: Sequence[str]) -> dict[str, Any]:
    """What is baked beside the file: greedy and the settings' context, under what the version says of its own."""
    own = {name: value for name, value in version.parameters.items() if name != "stop"}
    usual = {"temperature": 0, "num_ctx": version.run.revision.settings.criteria.context_tokens}
    return usual | own | ({"stop": list(stop)} if version.parameters.get("stop") else {})


def _smoke(golden: dict[str, Any]) -> Smoke:
    """The host must answer what the verified file answered; the tolerance over all of them is the release's."""
    options = GREEDY | {"num_predict": golden.get("max_tokens", SMOKE_TOKENS)}
    return Smoke(golden["messages"], partial(_same, golden["text"]), options)


def _same(expected: str, answer: str) -> bool:
    return " ".join(answer.split()) == " ".join(expected.split())
