"""The artifacts of a client over time: what may be collected, and what is damaged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipelines.artifacts import ArtifactDamaged, Store, store_of
from pipelines.domain.change.keeping import Kept, Policy, collectable, retained
from pipelines.domain.transitions import LIVE_RUNS
from pipelines.models import (
    Batch,
    DatasetVersion,
    Job,
    ModelVersion,
    PipelineState,
    Placement,
    Rollback,
    Rollout,
    Route,
    Run,
    Scorecard,
    StageRun,
)
from tenants import crossing, scope
from tenants.models import AuditEvent, Client

DIGEST = re.compile(r"[0-9a-f]{64}")
# What was put and is in no row yet belongs to a job that is under way.
GRACE = timedelta(days=2)
ACTOR = "retention"
# What rows name: every text in these fields that has the form of a digest.
NAMED: tuple[tuple[type[Any], tuple[str, ...]], ...] = (
    (ModelVersion, ("gguf_digest", "adapter_digest", "lora_digest", "card")),
    (DatasetVersion, ("digest", "manifest")),
    (Scorecard, ("answers_digest", "times_digest", "latency_ms")),
    (Batch, ("file_digest",)),
    (Job, ("spec", "result", "errand")),
    (StageRun, ("notes", "output")),
)


@dataclass(frozen=True)
class Collected:
    digests: tuple[str, ...]
    size_bytes: int


def plan(client: Client, now: datetime) -> list[str]:
    """Digests that may go: weights that the client's policy gives up, and what no row names. Inside its scope."""
    store, policy = store_of(client.pk), policy_of(client)
    pipelines = versions_of(client.pk).values()
    free = {digest for versions in pipelines for digest in collectable(versions, policy, now)}
    # Across pipelines: the base's file, from which adapters are apart, is one for all of them.
    free -= {digest for versions in pipelines for digest in retained(versions, policy, now)}
    # And outside of versions too: a live run may train on, or measure, what another one made.
    free -= needed(client.pk)
    named = _named(client.pk)
    orphans = {digest for digest, at in store.listed() if digest not in named and now - at > GRACE}
    return sorted(digest for digest in free | orphans if store.has(digest))


def policy_of(client: Client) -> Policy:
    return Policy(client.keep_versions, client.keep_days)


def collect(client: Client, now: datetime) -> Collected:
    """Removes what `plan` names, and writes down what is gone."""
    store, gone, size = store_of(client.pk), [], 0
    for digest in plan(client, now):
        size += store.remove(digest)
        gone.append(digest)
    if gone:
        detail = {"digests": gone, "bytes": size}
        AuditEvent.append(client, ACTOR, "artifacts.collect", client.slug, now, detail)
    return Collected(tuple(gone), size)


def collect_all(now: datetime) -> int:
    """Client by client."""
    gone = 0
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            client = Client.objects.filter(pk=client_id).first()
            if client is not None:
                gone += len(collect(client, now).digests)
    return gone


def verify(store: Store) -> Iterator[tuple[str, str]]:
    """(digest, what is wrong), every byte of every artifact read; empty: whole. Fetches nothing for good."""
    for digest, _at in store.listed():
        try:
            store.check(digest)
        except ArtifactDamaged as damaged:
            yield digest, str(damaged)
        else:
            yield digest, ""


def versions_of(client_id: int) -> dict[int, list[Kept]]:
    """By pipeline. As many questions for many pipelines as for one."""
    in_use, found = set(_in_use(client_id)), dict[int, list[Kept]]()
    for v in ModelVersion.objects.filter(client_id=client_id):
        files = frozenset({*v.files, v.adapter_digest} - {""})
        kept = Kept(v.number, files, v.pk in in_use, v.created_at, v.promoted_at)
        found.setdefault(v.pipeline_id, []).append(kept)
    return found


def _in_use(client_id: int) -> Iterator[int | None]:
    """Production, a candidate, what stands on a host, what traffic goes back to, what a live run makes or rests on."""
    whose = {"client_id": client_id}
    versions = ModelVersion.objects.filter(**whose)
    yield from versions.filter(status__in=("production", "candidate")).values_list("pk", flat=True)
    yield from PipelineState.objects.filter(**whose).values_list("production_id", flat=True)
    for pair in Route.objects.filter(**whose).values_list("production_id", "candidate_id"):
        yield from pair
    yield from Placement.objects.filter(**whose, status="placed").values_list("version_id", flat=True)
    # What is only placed goes with its run, below.
    serving = Rollout.objects.filter(**whose).exclude(status__in=("placed", "retired", "rolled_back"))
    for pair in serving.values_list("version_id", "previous_id"):
        yield from pair
    for pair in Rollback.objects.filter(**whose, flipped_at=None).values_list("from_version_id", "to_version_id"):
        yield from pair
    live = versions.filter(run__status__in=LIVE_RUNS)
    for pair in live.values_list("pk", "parent_id"):
        yield from pair


def needed(client_id: int) -> set[str]:
    """Every digest that a live run of the client names, in whatever row."""
    live = Run.objects.filter(client_id=client_id, status__in=LIVE_RUNS)
    found: set[str] = set()
    for told in Job.objects.filter(run__in=live).values_list("spec", "result", "errand"):
        found |= digests_in(told)
    for row in ModelVersion.objects.filter(client_id=client_id, run__in=live).select_related("parent"):
        found |= {*row.files, row.adapter_digest} | set(row.parent.files if row.parent else ())
    return found


def _named(client_id: int) -> set[str]:
    found = digests_in(list(Client.objects.filter(pk=client_id).values_list("origin", flat=True)))
    for model, fields in NAMED:
        known = {field.name for field in model._meta.concrete_fields}
        for row in model.objects.filter(client_id=client_id).values_list(*[name for name in fields if name in known]):
            found |= digests_in(list(row))
    return found - _taken(client_id) | _brought(client_id)


def _brought(client_id: int) -> set[str]:
    """Files of models that somebody brought and whose run still lives."""
    live = Run.objects.filter(client_id=client_id, status__in=LIVE_RUNS)
    return digests_in(list(live.values_list("occasion__bundle__digest", flat=True)))


def _taken(client_id: int) -> set[str]:
    """Those whose run is over: cards tell their digests, but what was taken out of them is what counts."""
    imports = Run.objects.filter(client_id=client_id, occasion__kind="import").exclude(status__in=LIVE_RUNS)
    over = digests_in(list(imports.values_list("occasion__bundle__digest", flat=True)))
    versions = ModelVersion.objects.filter(client_id=client_id)
    own = versions.values_list("gguf_digest", "lora_digest", "adapter_digest")
    return over - {digest for row in own for digest in row}


def digests_in(value: Any) -> set[str]:
    """Every text in it that has the form of a digest."""
    return set(DIGEST.findall(json.dumps(value, default=str)))
