"""Hosts of the key's client: how they do, and taking one out of use for a while."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from agency.api.auth import Key, actor_of
from agency.api.lookup import client_in, key_in, one
from agency.api.schemas import PauseIn, Refusal
from agency.api.schemas_changes import HostOut
from pipelines.actions import hosts as acts
from tenants.models import Host, HostDrift

TOLD = ("version", "generation", "latency_ms", "loaded_bytes", "used_bytes")
router = Router(tags=["hosts"], auth=Key("runs"))


@router.get("/hosts", response=list[HostOut])
def list_hosts(request: HttpRequest) -> list[dict[str, Any]]:
    """All hosts of the key's client, as they were when they were last asked."""
    return [_shown(row) for row in Host.objects.filter(client=client_in(request))]


@router.get("/hosts/{name}", response=HostOut)
def read_host(request: HttpRequest, name: str) -> dict[str, Any]:
    """One host."""
    return _shown(_open(request, name))


@router.post("/hosts/{name}/drain", response={200: HostOut, 409: Refusal})
def drain_host(request: HttpRequest, name: str, asked: PauseIn) -> dict[str, Any]:
    """It takes no new version and no traffic that another host can take. A rollback may still use it."""
    acts.drain(_open(request, name), actor=actor_of(key_in(request)), reason=asked.reason, now=timezone.now())
    return _shown(_open(request, name))


@router.post("/hosts/{name}/undrain", response={200: HostOut, 409: Refusal})
def undrain_host(request: HttpRequest, name: str, asked: PauseIn) -> dict[str, Any]:
    """It takes versions and traffic again."""
    acts.undrain(_open(request, name), actor=actor_of(key_in(request)), reason=asked.reason, now=timezone.now())
    return _shown(_open(request, name))


def _open(request: HttpRequest, name: str) -> Host:
    return one(Host.objects.filter(client=client_in(request)), name=name)


def _shown(row: Host) -> dict[str, Any]:
    known = {name: row.facts.get(name) for name in TOLD}
    drifts = HostDrift.objects.filter(host=row, ended_at=None).values_list("kind", "model_name")
    return known | {
        "name": row.name,
        "url": row.url,
        "is_enabled": row.is_enabled,
        "is_drained": row.is_drained,
        "drain_reason": row.drain_reason,
        "checked_at": row.checked_at,
        "error": row.facts.get("error", ""),
        "drift": [f"{kind}: {name}" for kind, name in drifts],
    }
