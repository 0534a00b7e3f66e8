"""Carrying out the erasure of a client: models off hosts, rows, files, and the signed certificate of what went."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import transaction

from agency.leaving.tables import line, rows_of, tables
from pipelines.actions.clients.erasure import refuse_busy, refuse_late
from pipelines.actions.clients.removal import clear, delete_rows, wipe
from pipelines.actions.refused import ActionRefused
from pipelines.artifacts import store_of
from pipelines.domain.transitions import JobStatus
from pipelines.models import Job
from pipelines.shipping.ending import RECALL
from tenants import crossing
from tenants.crypto import certificate
from tenants.ledger import events_of, walk
from tenants.models import AuditEvent, Client, Erasure, Host, Membership, UsageIssue, User
from tenants.people.accounts import remove_account

FORMAT = "retune-erasure-1"
NOT_REACHED = (
    "Backups and archives that were made before, mails that were sent, and copies that people took are not reached "
    "from here. The agency's own ledger keeps the client's short name, the acts of ordering and erasing, and digests."
)

CACHES = (
    " Copies of the object store's files on other machines are not reached either: each machine drops them within the "
    "hour beside its ticker, or by `manage.py artifacts trim`."
)
SERVICES = " Examples may still lie at the training services under `not_recalled`, which did not take the recall."


def carry_out(row: Erasure, now: datetime) -> Erasure:
    """Inside the agency's scope. Goes on where it broke off. Raises `ActionRefused` while something is under way."""
    client = Client.objects.select_related("agency").filter(pk=row.former_id).first()
    if client is not None:
        _rest(client, now)
        hosts = [_cleared(host, client.slug) for host in Host.objects.filter(client=client).order_by("name")]
        _erase_rows(row, client, hosts, now)
    if not row.is_done:
        wipe(row.former_id, row.scratch)
        _certify(row, now)
    return row


@transaction.atomic
def _rest(client: Client, now: datetime) -> None:
    """Nothing begins any more: a rollback that ended a canary may still wait to tell the hosts that are cleared now."""
    refuse_late(client, now)
    waiting = Job.objects.filter(client=client, status=JobStatus.QUEUED)
    waiting.update(status=JobStatus.CANCELLED, due_at=None, finished_at=now)
    refuse_busy(client)


def _cleared(host: Host, slug: str) -> dict[str, Any]:
    """Its models are taken off where it answers; where it does not, that is said: nobody waits for a host."""
    told: dict[str, Any] = {"host": host.name, "url": host.url}
    try:
        return told | {"removed": clear(host, slug)}
    except ActionRefused as refused:
        return told | {"not_reached": str(refused)}


@transaction.atomic
def _erase_rows(row: Erasure, client: Client, hosts: list[dict[str, Any]], now: datetime) -> None:
    Client.objects.select_for_update().get(pk=client.pk)
    refuse_busy(client)
    accounts = _forget_readers(client, now)
    row.facts = _facts(row, client, hosts) | {"accounts_removed": accounts}
    row.scratch = list(Job.objects.filter(client=client).values_list("pk", flat=True))
    row.rows_gone_at = now
    row.save(update_fields=["facts", "scratch", "rows_gone_at"])
    delete_rows(client)
    detail = {"ledger": row.facts["ledger"], "rows": sum(t["rows"] for t in row.facts["tables"].values())}
    AuditEvent.append(client.agency, row.ordered_by, "client.erase", client.slug, now, detail)


def _facts(row: Erasure, client: Client, hosts: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each table how many rows and a digest over all of them; of each file its digest. No content."""
    store, chain, not_recalled = store_of(client.pk), walk(events_of(client.pk)), _not_recalled(client)
    issued = UsageIssue.objects.filter(client=client).order_by("pk")
    return {
        "format": FORMAT,
        "client": {"name": client.name, "slug": client.slug, "former_id": client.pk},
        "agency": client.agency.slug,
        "reason": row.reason,
        "ordered_by": row.ordered_by,
        "confirmed_by": row.confirmed_by,
        "ordered_at": row.ordered_at.isoformat(),
        "tables": {model._meta.db_table: _digest(model, client) for model in tables()},
        "files": sorted({digest for digest, _at in store.listed()}),
        "hosts": hosts,
        "ledger": {"acts": chain.count, "head": chain.head, "is_whole": not chain.broken},
        "usage_issued": [
            {"month": one.month, "number": one.number, "total": f"{one.total} {one.currency}", "digest": one.digest}
            for one in issued
        ],
        "not_recalled": not_recalled,
        "not_reached": NOT_REACHED + (CACHES if store.remote is not None else "") + (SERVICES if not_recalled else ""),
    }


def _not_recalled(client: Client) -> list[dict[str, str]]:
    """Trainings at services that could not be ended there: nobody waits for a service, as nobody does for a host."""
    rows = Job.objects.filter(client=client, kind=RECALL).exclude(status=JobStatus.SUCCEEDED)
    return [
        {"run": f"{run.pipeline.slug} {run.number}", "service": run.revision.body["recipe"]["trainer"]}
        for run in (job.run for job in rows.select_related("run__pipeline", "run__revision").order_by("pk"))
    ]


def _digest(model: Any, client: Client) -> dict[str, Any]:
    """Over the lines that an archive would have: whoever keeps one can compare."""
    sha, count = hashlib.sha256(), 0
    for found in rows_of(model, client):
        sha.update(line(found))
        count += 1
    return {"rows": count, "sha256": sha.hexdigest()}


def _forget_readers(client: Client, now: datetime) -> int:
    """Accounts that were let in at this client and nowhere else go with it."""
    users = User.objects.filter(memberships__in=Membership.objects.filter(client=client)).distinct()
    alone = [user for user in users if len(crossing.ask("memberships_of_user", user=user.pk)) == 1]
    for user in alone:
        remove_account(user, now)
        for rows in (EmailAddress.objects, Authenticator.objects, UserSession.objects):
            rows.filter(user=user).delete()
    return len(alone)


def _certify(row: Erasure, now: datetime) -> None:
    facts = row.facts | {"rows_erased_at": str(row.rows_gone_at), "files_erased_at": now.isoformat()}
    text = certificate.certified(FORMAT, facts)
    with transaction.atomic():
        row.facts, row.certificate = facts, text
        row.save(update_fields=["facts", "certificate"])
        detail = {"certificate": hashlib.sha256(text.encode()).hexdigest()}
        AuditEvent.append(row.agency, row.ordered_by, "client.erased", row.slug, now, detail)
