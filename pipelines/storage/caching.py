"""The folder before an object store: without what was removed elsewhere, below its size; what a live run reads stays.

Whoever removes reaches the object store and the folder of one machine; every other machine looks for itself.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

from pipelines.artifacts import store_of
from pipelines.artifacts.store import Cached, Store
from pipelines.domain.transitions import LIVE_RUNS
from pipelines.keeping import needed
from pipelines.models import DatasetVersion, ModelVersion, PipelineState, Run
from tenants import crossing, scope
from tenants.models import AuditEvent

# A process that was just told where a file lies may open it a little later.
IN_HAND = timedelta(hours=1)

# Whoever wrote it was killed; nothing takes so long to write.
DRAFT_KEPT = timedelta(days=1)


def sweep_drafts(now: datetime) -> int:
    """Removes what killed processes of this machine left half written."""
    return sum(store_of(client_id).sweep(now - DRAFT_KEPT) for _agency_id, client_id in crossing.ask("all_clients"))


def trim_cache(now: datetime) -> int:
    """Drops copies, the one used longest ago first, until all clients' together are below the limit. Gives how many."""
    gone = _drop_erased() + _drop_removed()
    limit, found = settings.ARTIFACTS_CACHE_BYTES, list(_droppable(now))
    size = sum(cached.size_bytes for _store, cached, _may_go in found)
    for store, cached, may_go in sorted(found, key=lambda row: row[1].used_at):
        if not limit or size <= limit:
            break
        freed = store.drop(cached.digest) if may_go else 0
        size, gone = size - freed, gone + bool(freed)
    return gone


def _drop_erased() -> int:
    """Everything of clients that are gone. Folders are listed first: a client is there before its first file."""
    root, gone = Path(settings.ARTIFACTS), 0
    folders = [folder for place in ("clients", "handed") for folder in (root / place).glob("*")]
    clients = {str(client_id) for _agency_id, client_id in crossing.ask("all_clients")}
    for folder in folders if settings.ARTIFACTS_S3["bucket_name"] else ():
        if folder.name.isdigit() and folder.name not in clients:
            gone += sum(path.is_file() for path in folder.rglob("*"))
            shutil.rmtree(folder, ignore_errors=True)
    return gone


def _drop_removed() -> int:
    """Copies of what retention or the erasure of a person took out of the object store, as the ledger says.

    What it lost otherwise stays: here may be the last copy.
    """
    gone = 0
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            store = store_of(client_id)
            here = {cached.digest for cached in store.cached()}
            gone += sum(bool(store.drop_removed(digest)) for digest in here & _removed(client_id, here))
    return gone


def _removed(client_id: int, here: set[str]) -> set[str]:
    acts = AuditEvent.objects.filter(client_id=client_id, verb__in=("artifacts.collect", "person.forget"))
    found: set[str] = set()
    for told in acts.values_list("detail", flat=True) if here else ():
        found |= {*told.get("digests", ()), *told.get("files", ())}
    return found


def _droppable(now: datetime) -> list[tuple[Store, Cached, bool]]:
    found: list[tuple[Store, Cached, bool]] = []
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            store, kept = store_of(client_id), being_read(client_id)
            for cached in store.cached():
                may_go = cached.digest not in kept and now - cached.used_at > IN_HAND
                found.append((store, cached, may_go))
    return found


def being_read(client_id: int) -> set[str]:
    """What live runs read: what they made and name, the datasets they grow from, the production they are judged by."""
    live = Run.objects.filter(client_id=client_id, status__in=LIVE_RUNS)
    found = needed(client_id)
    for made in DatasetVersion.objects.filter(client_id=client_id, run__in=live).select_related("parent"):
        found |= {made.digest} | ({made.parent.digest} if made.parent else set())
    states = PipelineState.objects.filter(client_id=client_id, pipeline__runs__in=live, production__isnull=False)
    for version in ModelVersion.objects.filter(pk__in=states.values("production")).select_related("dataset"):
        found |= {*version.files, version.adapter_digest} | ({version.dataset.digest} if version.dataset else set())
    return found
