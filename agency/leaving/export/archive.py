"""An archive as bytes that are made as they are read: clients one after the other, then sums and manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from agency.leaving import manifest
from agency.leaving.export.client import client_pieces
from agency.leaving.tar import Tar
from agency.leaving.words import README
from tenants import scope
from tenants.models import Agency, AuditEvent, Brand, Client, SettingsPreset, ValueTerms


def client_archive(client: Client, now: datetime) -> Iterator[bytes]:
    """Raises ArtifactDamaged and Changed in the middle: what was made until then has no manifest."""
    return _archive([client], now, lambda tar: iter(()))


def agency_archive(agency: Agency, now: datetime) -> Iterator[bytes]:
    """Every client of the agency, and what is the agency's own."""
    with scope.agency_scope(agency.pk):
        clients = list(Client.objects.select_related("agency").order_by("slug"))
    return _archive(clients, now, lambda tar: _agency_pieces(agency, tar))


def _archive(clients: Iterable[Client], now: datetime, more: Callable[[Tar], Iterator[bytes]]) -> Iterator[bytes]:
    tar, told = Tar(now), {}
    yield from tar.text("README.txt", README)
    yield from more(tar)
    for client in clients:
        told[client.slug] = yield from client_pieces(client, tar)
    sums = "".join(f"{piece.sha256}  {name}\n" for name, piece in tar.pieces.items())
    yield from tar.text("SHA256SUMS", sums)
    yield from tar.text(manifest.NAME, manifest.describe(tar, told).model_dump_json(indent=1))
    yield from tar.end()


def _agency_pieces(agency: Agency, tar: Tar) -> Iterator[bytes]:
    """Settings of the agency; its people belong to the installation and are invited anew."""
    with scope.agency_scope(agency.pk):
        told: dict[str, Any] = {"name": agency.name, "slug": agency.slug, "created_at": agency.created_at}
        for model in (Brand, SettingsPreset, ValueTerms):
            rows = model.objects.filter(agency_id=agency.pk).values()
            told[model._meta.model_name or ""] = [
                {name: value for name, value in row.items() if not isinstance(value, bytes | memoryview)}
                for row in rows
            ]
        acts = list(AuditEvent.objects.filter(client=None, agency_id=agency.pk).order_by("seq").values())
    yield from tar.text("agency/agency.json", json.dumps(told, indent=1, default=str))
    yield from tar.lines("agency/ledger.jsonl", (json.dumps(act, default=str).encode() + b"\n" for act in acts))


def scoped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Each piece is made without a scope of whoever reads it: the pieces open their own."""
    while True:
        with scope.entered(None):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def write(out: Path, pieces: Iterator[bytes]) -> int:
    """Whole or absent. Gives its bytes."""
    draft = out.with_name(f"{out.name}.partial")
    try:
        with draft.open("wb") as stream:
            draft.chmod(0o600)
            for piece in scoped(pieces):
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return out.stat().st_size
