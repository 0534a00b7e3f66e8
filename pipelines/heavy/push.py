"""Job push: one version onto one host, proven to serve. Resumable: what the host has is not sent again."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from django.conf import settings
from django.utils.timezone import now as clock

from pipelines.artifacts import store_of
from pipelines.engine.jobs import JobFailed, Work
from pipelines.hosts import Host as HostAdapter
from pipelines.hosts import HostDown, HostRefused, open_host
from pipelines.hosts.naming import model_name
from pipelines.hosts.release import Release, Smoke, place
from pipelines.models import ModelVersion, Placement
from pipelines.work.gguf_header import check
from tenants.models import Host

PUSH_TIMEOUT_S = 600.0
CHATML_MARK = "<|im_start|>"
CHATML_GO = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


def work(work: Work) -> dict[str, Any]:
    job = work.job
    version = ModelVersion.objects.select_related("pipeline", "client").get(run=job.run)
    row = Host.objects.get(pk=job.spec["host"])
    release = release_of(version)
    try:
        adapter = open_adapter(row)
        facts = asdict(place(adapter, release, check, lambda sent, total: work.report(sent / max(total, 1), "pushing")))
    except HostRefused as error:
        raise JobFailed(f"{row.name}: {error}", permanent=True) from error
    except HostDown as error:
        raise JobFailed(f"{row.name}: {error}") from error
    record(version, row, release.name, facts)
    return facts


def open_adapter(row: Host, timeout_s: float = PUSH_TIMEOUT_S) -> HostAdapter:
    return open_host(row.kind, row.url, timeout_s=timeout_s, allow_private=settings.ALLOW_PRIVATE_HOSTS)


def record(version: ModelVersion, row: Host, name: str, facts: dict[str, Any]) -> None:
    fields = {"model_name": name, "status": "placed", "facts": facts, "placed_at": clock()}
    owner = {"agency_id": version.agency_id, "client_id": version.client_id}
    Placement.objects.update_or_create(version=version, host=row, defaults=fields, create_defaults=fields | owner)


def release_of(version: ModelVersion) -> Release:
    """What is placed: the judged file, by digest, under a tag that is never written again."""
    path = store_of(version.client_id).verified(version.gguf_digest)
    header = check(path)
    recipe = version.run.revision.settings
    jinja = header.chat_template
    is_chatml = CHATML_MARK in (jinja or "")
    return Release(
        name=model_name(version.client.slug, version.pipeline.slug, version.number),
        path=path,
        digest=f"sha256:{version.gguf_digest}",
        parameters={"temperature": 0, "num_ctx": recipe.criteria.context_tokens},
        go_template=CHATML_GO if is_chatml else None,
        stop=("<|im_end|>",) if is_chatml else (),
        jinja=jinja,
        architecture=header.architecture,
        smoke=[_smoke(answer) for answer in version.card.get("golden_answers", []) if answer.get("messages")],
    )


def _smoke(golden: dict[str, Any]) -> Smoke:
    """The host must answer what the verified file answered; the tolerance over all of them is the release's."""
    return Smoke(golden["messages"], partial(_same, golden["text"]))


def _same(expected: str, answer: str) -> bool:
    return " ".join(answer.split()) == " ".join(expected.split())
