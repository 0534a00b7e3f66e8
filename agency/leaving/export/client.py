"""Everything of one client, piece by piece, under `clients/<slug>/`."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import Any

from agency.leaving.export import files, reports
from agency.leaving.export.models import Loadable, script
from agency.leaving.export.pipelines import pipeline_pieces
from agency.leaving.manifest import Told
from agency.leaving.tables import line, rows_of, tables
from agency.leaving.tar import Tar
from tenants import scope
from tenants.ledger import Chain, events_of, walk
from tenants.models import ApiKey, AuditEvent, Client, Host, Membership, Pipeline


def client_pieces(client: Client, tar: Tar) -> Generator[bytes, None, Told]:
    """Tables first, those that others name last: whatever a row names was there when it was read."""
    place = f"clients/{client.slug}"
    counts: dict[str, int] = {}
    for model in reversed(tables()):
        name = model._meta.db_table
        rows = Counted(rows_of(model, client))
        yield from tar.lines(f"{place}/tables/{name}.jsonl", (line(row) for row in rows))
        counts[name] = rows.count
    chain = ledger_of(client)
    yield from tar.text(f"{place}/client.json", json.dumps(_facts(client, chain), indent=1, default=str))
    yield from tar.lines(f"{place}/ledger.jsonl", (line(_act(act)) for act in _acts(client)))
    found: list[Loadable] = []
    with scope.client_scope(client.pk, client.agency_id):
        pipelines = list(Pipeline.objects.filter(client=client).select_related("client__agency", "revision"))
    for pipeline in pipelines:
        found += yield from pipeline_pieces(pipeline, f"{place}/pipelines/{pipeline.slug}", tar)
    yield from tar.text(f"{place}/load.sh", script(found))
    yield from _reports(client, place, tar)
    yield from files.file_pieces(client, place, tar)
    return Told(name=client.name, rows=counts, acts=chain.count, head=chain.head)


class Counted:
    """Rows, and how many there were."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        self._rows, self.count = rows, 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._rows:
            self.count += 1
            yield row


def ledger_of(client: Client) -> Chain:
    with scope.client_scope(client.pk, client.agency_id):
        return walk(events_of(client.pk))


def _acts(client: Client) -> Iterator[AuditEvent]:
    events = events_of(client.pk)
    while True:
        with scope.client_scope(client.pk, client.agency_id):
            act = next(events, None)
        if act is None:
            return
        yield act


def _act(act: AuditEvent) -> dict[str, Any]:
    names = ("seq", "at", "actor", "verb", "subject", "detail", "previous", "digest")
    return {name: getattr(act, name) for name in names}


def _facts(client: Client, chain: Chain) -> dict[str, Any]:
    """Plain facts for people. No key, no password, no link."""
    names = ("name", "slug", "timezone", "language", "contact", "keep_versions", "keep_days", "created_at")
    told: dict[str, Any] = {name: getattr(client, name) for name in names} | {"id_in_its_installation": client.pk}
    with scope.client_scope(client.pk, client.agency_id):
        told["hosts"] = list(Host.objects.filter(client=client).values("name", "kind", "url", "access"))
        told["keys"] = list(ApiKey.objects.filter(client=client).values("name", "prefix", "verbs", "revoked_at"))
    with scope.agency_scope(client.agency_id):
        rows = Membership.objects.filter(client=client)
        told["people"] = list(rows.values("user__email", "role", "created_at"))
    return told | {"ledger": {"acts": chain.count, "head": chain.head, "broken": chain.broken}}


def _reports(client: Client, place: str, tar: Tar) -> Iterator[bytes]:
    for month in reports.months(client, tar.now):
        with scope.client_scope(client.pk, client.agency_id):
            page = reports.report_page(client, month)
        yield from tar.text(f"{place}/reports/{month}.html", page)
