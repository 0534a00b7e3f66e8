"""Removing a demo client: its models on hosts, its rows, its ledger, its files. A real client is never removed here."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import datetime

from django.apps import apps
from django.db import models, router, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from pipelines.actions.refused import ActionRefused
from pipelines.artifacts import parts_of, store_of, wipe_scratch
from pipelines.domain.transitions import JobStatus
from pipelines.heavy.push import open_adapter
from pipelines.hosts import Host as Adapter
from pipelines.hosts import HostError, HostRefused
from pipelines.hosts.naming import alias_name
from pipelines.hosts.release import retire
from pipelines.models import Job, Placement
from pipelines.models.placement import LEAVING
from tenants.models import AuditEvent, Client, Host

HOST_TIMEOUT_S = 10.0


def remove_demo(client: Client, actor: str, now: datetime) -> dict[str, int]:
    """{table: rows that went}. Refused for a client that is none of ours, and while a worker is at work for it.

    Inside the agency's scope. Hosts are cleared first and files last: what breaks off in between can be done again.
    """
    if not client.is_demo:
        raise ActionRefused(_("%(name)s is a real client: only a demo client can be removed.") % {"name": client.name})
    at_work = Job.objects.filter(client=client, status=JobStatus.RUNNING).select_related("run").first()
    if at_work is not None:
        words = {"n": at_work.run.number, "kind": at_work.kind}
        raise ActionRefused(_("A worker is busy with run %(n)s (%(kind)s). Cancel the run first.") % words)
    for host in Host.objects.filter(client=client):
        clear(host, client.slug)
    jobs = list(Job.objects.filter(client=client).values_list("pk", flat=True))
    pk, gone = client.pk, _delete(client, actor, now)
    wipe(pk, jobs)
    return gone


def wipe(client_id: int, jobs: Iterable[int]) -> None:
    """Every file of a client that is gone."""
    store_of(client_id).clear()
    for job in jobs:
        parts_of(client_id, job).clear()
        wipe_scratch(job)


def clear(host: Host, slug: str) -> list[str]:
    """Takes the versions that stand there off the host, and the moving names beside them; nothing else is touched.

    Those too that it was told to let go while it was down.
    """
    placed = Placement.objects.filter(LEAVING | Q(status="placed"), host=host).select_related("version__pipeline")
    names = {row.model_name: alias_name(slug, row.version.pipeline.slug) for row in placed}
    if not names:
        return []
    try:
        with closing(open_adapter(host, HOST_TIMEOUT_S)) as adapter:
            for alias in sorted(set(names.values())):
                adapter.delete(alias)
            for name in sorted(names):
                _take_off(adapter, name)
    except HostError as error:
        words = {"name": host.name, "why": error}
        raise ActionRefused(_("Models of this client are on host %(name)s: %(why)s") % words) from error
    return sorted(names)


def _take_off(adapter: Adapter, name: str) -> None:
    try:
        retire(adapter, name)
    except HostRefused:
        adapter.delete(name)  # Another name means the same file: that one goes on, and so does the file's process.


@transaction.atomic
def _delete(client: Client, actor: str, now: datetime) -> dict[str, int]:
    """Every row of the client. Keys are checked at the end of the transaction, so that the order does not matter."""
    AuditEvent.append(client.agency, actor, "client.remove", client.slug, now, {"name": client.name, "is_demo": True})
    return delete_rows(client)


def delete_rows(client: Client) -> dict[str, int]:
    """{table: rows that went}, in the caller's transaction."""
    Client.objects.select_for_update().get(pk=client.pk)
    gone = {model._meta.db_table: _rows(model, client.pk) for model in owned_by_clients()}
    Client.objects.filter(pk=client.pk)._raw_delete(router.db_for_write(Client))
    return {table: n for table, n in gone.items() if n}


def owned_by_clients() -> list[type[models.Model]]:
    """Every model whose rows name a client; found by its columns, so that a new table is never forgotten."""
    return [model for model in apps.get_models() if any(f.column == "client_id" for f in model._meta.local_fields)]


def _rows(model: type[models.Model], client_id: int) -> int:
    # Not by the collector: it loads what it deletes, and stops at keys that protect.
    found = model._default_manager.filter(client_id=client_id)
    return int(found._raw_delete(router.db_for_write(model)))
