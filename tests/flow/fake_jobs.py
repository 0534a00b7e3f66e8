"""Quick handlers in the place of the heavy jobs.

They leave the same rows and artifacts, and count their effects in a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from pipelines.artifacts import scratch_of, store_of, wipe_scratch
from pipelines.engine.jobs import Work
from pipelines.heavy import push as real_push
from pipelines.heavy import restore as real_restore
from pipelines.heavy.push import record
from pipelines.hosts.naming import model_name
from pipelines.models import DatasetVersion, ModelVersion, PipelineState
from tenants.models import Host

CASES = 200
# Of how many cases the candidate of run n answers wrongly; other runs answer all of them.
WRONG: dict[int, int] = {}


def note_effect(work: Work, what: str) -> None:
    """One line per effect, where several processes can append and a test can count."""
    path = Path(settings.VAR) / "effects.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"{work.job.run_id} {work.job.kind} {what}\n")


def preflight(work: Work) -> dict[str, Any]:
    return {"base_digest": "0" * 64, "template_digest": "1" * 64}


def train(work: Work) -> dict[str, Any]:
    store = store_of(work.job.client_id)
    dataset = DatasetVersion.objects.get(run=work.job.run)
    rows = store.verified(dataset.digest).read_bytes().count(b"\n")
    adapter = store.put_bytes(f"adapter of run {work.job.run.number}".encode())
    work.report(1.0, "trained", rows=rows)
    note_effect(work, adapter)
    return {"adapter_digest": adapter, "steps": rows}


def build(work: Work) -> dict[str, Any]:
    body = f"gguf of run {work.job.run.number}".ljust(1000).encode()
    digest = store_of(work.job.client_id).put_bytes(body)
    note_effect(work, digest)
    return {"digest": digest, "size_bytes": len(body), "template_digest": "1" * 64, "answers": []}


def build_gguf(work: Work) -> dict[str, Any]:
    """A model so small and so real that a push may check its header."""
    from tests.unit.ollama_host.tiny_gguf import write_model

    run = work.job.run
    path = write_model(scratch_of(work.job.pk) / "model.gguf", seed=run.number)
    size, digest = path.stat().st_size, store_of(run.client_id).put_file(path)
    wipe_scratch(work.job.pk)
    note_effect(work, digest)
    return {"digest": digest, "size_bytes": size, "template_digest": "1" * 64, "answers": []}


def evaluate(work: Work) -> dict[str, Any]:
    run, store = work.job.run, store_of(work.job.client_id)
    production = PipelineState.objects.select_related("production").get(pipeline_id=run.pipeline_id).production
    arms = {"candidate": WRONG.get(run.number, 0)} | ({"production": 5} if production else {})
    rows = [_row(case, arm, case >= wrong) for case in range(CASES) for arm, wrong in arms.items()]
    figures = {arm: (CASES - wrong) / CASES for arm, wrong in arms.items()}
    return {
        "sets": {
            "heldout": {"kind": "task", "n": CASES, "metrics": {"accuracy": figures | {"higher_is_better": True}}}
        },
        "latency": {"calls": 300, "rounds": 1} | {arm: {"p50": 10.0, "p95": 20.0, "p99": 30.0} for arm in arms},
        "answers_digest": store.put_lines(json.dumps(row).encode() for row in rows),
        "times_digest": store.put_lines(_times(bool(production))),
        "production_version": production.pk if production else None,
        "set_versions": {"heldout": 1},
        "engine": "fake",
    }


def _row(case: int, arm: str, is_right: bool) -> dict[str, Any]:
    scores = {"accuracy": float(is_right)}
    return {
        "set": "heldout",
        "id": f"c{case}",
        "arm": arm,
        "score": scores["accuracy"],
        "scores": scores,
        "flaky": False,
    }


def _times(has_production: bool) -> list[bytes]:
    pairs = [
        {"case": "c", "candidate_ms": 10.0 + n % 7, "production_ms": 10.0 + n % 7 if has_production else None}
        for n in range(300)
    ]
    return [json.dumps(pair).encode() for pair in pairs]


def push(work: Work) -> dict[str, Any]:
    version = ModelVersion.objects.select_related("pipeline", "client").get(run=work.job.run)
    name = model_name(version.client.slug, version.pipeline.slug, version.number)
    host = Host.objects.get(pk=work.job.spec["host"])
    note_effect(work, name)
    record(version, host, name, {"bytes_sent": version.gguf_bytes})
    return {"bytes_sent": version.gguf_bytes}


def nothing(work: Work) -> dict[str, Any]:
    return {}


HANDLERS = {
    "preflight": preflight,
    "train": train,
    "build": build,
    "evaluate": evaluate,
    "push": push,
    "alias": nothing,
    "restore": nothing,
}
# The jobs that call hosts are the real ones.
ON_HOSTS = HANDLERS | {
    "build": build_gguf,
    "push": real_push.work,
    "alias": real_restore.point_aliases,
    "restore": real_restore.work,
}
