"""What an archive says of itself, last in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from tenants import crossing, scope
from tenants.crypto.sealing import fingerprints
from tenants.ledger import events_of, walk
from tenants.models import AuditEvent, Client

FORMAT = 1


class NotAnArchive(ValueError):
    """The file is no archive, is cut off, or was changed; nothing was read into the installation."""

    permanent = True


class Piece(BaseModel):
    """A member of the tar. `sha256` in hex."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sha256: str
    size: int


class SelfDescription(BaseModel):
    """What every archive says of itself; `pieces` are its members but this one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int | str
    made_at: AwareDatetime
    pieces: dict[str, Piece]


M = TypeVar("M", bound=SelfDescription)


class Manifest(SelfDescription):
    """`migrations`: the newest of each app. `heads`: per client, how many acts its ledger has and the last digest."""

    database: str
    key: str
    migrations: dict[str, str]
    heads: dict[str, tuple[int, str]]

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces.values())


def describe(kind: str, heads: dict[str, tuple[int, str]], pieces: dict[str, Piece], now: datetime) -> Manifest:
    return Manifest(
        format=FORMAT,
        made_at=now,
        database=kind,
        key=fingerprints()[0],
        migrations=applied(),
        heads=heads,
        pieces=pieces,
    )


def read(body: bytes) -> Manifest:
    return parsed(body, Manifest, FORMAT)


def parsed(body: bytes, kind: type[M], wanted: int | str) -> M:
    """What an archive says of itself, whatever it is an archive of. Raises NotAnArchive."""
    try:
        found = kind.model_validate_json(body)
    except ValidationError as fault:
        raise NotAnArchive("The archive's manifest cannot be read: take another archive.") from fault
    if found.format != wanted:
        raise NotAnArchive(f"The archive has format {found.format}, this Retune reads {wanted}: update Retune first.")
    return found


def applied() -> dict[str, str]:
    """The newest migration of each app that the database has."""
    loader = MigrationLoader(connection)
    return {app: max(name for a, name in loader.applied_migrations if a == app) for app, _ in loader.applied_migrations}


def unknown(manifest: Manifest) -> list[str]:
    """Migrations that this code does not have: the archive is of a newer Retune."""
    known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    return sorted(f"{app}.{name}" for app, name in manifest.migrations.items() if (app, name) not in known)


def is_behind(manifest: Manifest) -> bool:
    """Whether this code has migrations that the archive's database has not: rows are read after `migrate` only."""
    known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    return any(name > manifest.migrations.get(app, "") for app, name in known)


def refuse_other_key(manifest: Manifest) -> None:
    if manifest.key in fingerprints():
        return
    where = "RETUNE_SECRET_KEY" if settings.ENGINE == "celery" else f"{settings.VAR}/secret.key"
    raise NotAnArchive(
        "The archive was made under another secret key: what is sealed in it could not be opened here. "
        f"Put that installation's key into {where}, or into RETUNE_SECRET_KEY_FALLBACKS, then start again."
    )


def heads() -> dict[str, tuple[int, str]]:
    """Where each client's ledger ends: how many acts, and the digest of the last."""
    found = {}
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            last = AuditEvent.objects.filter(client_id=client_id).order_by("-seq").first()
            found[Client.objects.get(pk=client_id).slug] = (last.seq, last.digest) if last else (0, "")
    return found


def torn(manifest: Manifest) -> Iterator[str]:
    """Clients whose ledger here does not hold what it held when the archive was made, whole."""
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            slug, chain = Client.objects.get(pk=client_id).slug, walk(events_of(client_id))
            seq, digest = manifest.heads.get(slug, (0, ""))
            is_there = not seq or AuditEvent.objects.filter(client_id=client_id, seq=seq, digest=digest).exists()
        if chain.broken or not is_there:
            yield f"{slug}: {chain.broken or f'act {seq} is missing'}"
