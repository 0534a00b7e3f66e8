"""The ledger: what served this client at a time, and what changed between two."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router
from ninja.errors import HttpError

from agency.api.auth import Key
from agency.api.lookup import client_in
from agency.api.schemas_changes import ChangesOut, ServedOut
from pipelines.reports.changes.ledger import changed_between, served_at

router = Router(tags=["ledger"], auth=Key("versions"))


@router.get("/ledger/at", response=ServedOut)
def read_ledger_at(request: HttpRequest, time: datetime | None = None) -> dict[str, Any]:
    """Version, prompt, dataset, settings, hosts, keys, people, gates and approver at `time` (now when left out)."""
    answer = served_at(client_in(request), _aware(time), with_staff=False)
    return {"at": answer.at, "chain": asdict(answer.chain)} | asdict(answer.picture)


@router.get("/ledger/changes", response=ChangesOut)
def read_ledger_changes(request: HttpRequest, since: datetime, until: datetime | None = None) -> dict[str, Any]:
    """What is different at `until` (now when left out) from what was at `since`, and the acts in between."""
    found = changed_between(client_in(request), _aware(since), _aware(until), with_staff=False)
    return asdict(found)


def _aware(at: datetime | None) -> datetime:
    at = at or timezone.now()
    if timezone.is_naive(at):
        raise HttpError(422, "Give the time with its zone, for example 2026-03-03T04:00:00Z.")
    return at
