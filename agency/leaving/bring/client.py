"""One client out of an archive: the client, then its files, then all its rows in one transaction.

What broke off in between is gone on with by the same order: the client remembers which archive it comes of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext as _

from agency.backup.manifest import NotAnArchive
from agency.leaving.bring.columns import cleaned, why
from agency.leaving.bring.reading import Archive, opened
from agency.leaving.bring.rows import UNREADABLE, Bringing
from agency.leaving.tables import tables
from pipelines import usage
from pipelines.artifacts import store_of
from pipelines.models import Delivery, Route, SignatureBlock
from tenants import naming, scope
from tenants.billing.caps import CapReached
from tenants.models import (
    Agency,
    ApiKey,
    AuditEvent,
    Cap,
    CapKind,
    Channel,
    Client,
    EvalCase,
    HostAgent,
    HostCall,
    Invitation,
    JudgeEndpoint,
    Membership,
    Proposal,
    ShareLink,
    TrainingConsent,
)

# People and programs are let in anew, consents and channels are given anew, caps are those of the agency that receives;
# the ledger comes as a file, because its digests hold the old client's number.
STAYS_BEHIND = (
    ApiKey, ShareLink, Invitation, Membership, Proposal, AuditEvent, JudgeEndpoint, TrainingConsent, SignatureBlock,
    Channel, Delivery, HostAgent, HostCall, Cap,
)  # fmt: skip
# Once every key between the others leads somewhere: from when a case is there, no row that asks the same is tied to a
# dataset; and from when a route is there until the commit, whoever moves traffic elsewhere waits.
LAST: tuple[type[models.Model], ...] = (EvalCase, Route)
JUDGED = {"timezone": naming.time_zone, "language": naming.language}
FACTS = ("name", "timezone", "language", "contact", "keep_versions", "keep_days")


class BringRefused(ValueError):
    """The archive cannot come in so; says what to do. Nothing of another client was touched."""

    permanent = True


@dataclass(frozen=True)
class Brought:
    slug: str
    rows: int
    files: int
    left_out: int


def bring_all(source: Path, agency: Agency, actor: str, now: datetime, rename: str = "") -> Iterator[Brought]:
    """Every client of the archive. `rename`: another short name, where it holds one client.

    Of several those are passed over that are here whole: what broke off after them goes on.
    """
    with opened(source) as archive:
        names = list(archive.manifest.clients)
        if rename and len(names) != 1:
            raise BringRefused(_("Only an archive of one client can come in under another short name."))
        todo = [name for name in names if not _is_here(archive, name, agency)] if len(names) > 1 else names
        for name in todo or names:
            yield _bring(archive, name, agency, actor, now, rename or name)


def _bring(archive: Archive, name: str, agency: Agency, actor: str, now: datetime, slug: str) -> Brought:
    place = f"clients/{name}"
    with scope.agency_scope(agency.pk):
        client = _begun(archive, place, agency, slug, now)
    files = _files(archive, place, client)
    try:
        with scope.client_scope(client.pk, agency.pk), transaction.atomic():
            return _rows(archive, name, client, actor, now, files)
    except IntegrityError as clash:
        raise BringRefused(
            _("A row of this client cannot be here: it is here already, or contradicts another one: %(why)s")
            % {"why": clash}
        ) from clash


def _is_here(archive: Archive, name: str, agency: Agency) -> bool:
    told = archive.manifest.pieces.get(f"clients/{name}/client.json")
    with scope.agency_scope(agency.pk):
        found = Client.objects.filter(slug=name, origin__is_whole=True).first()
    return told is not None and found is not None and found.origin.get("archive") == told.sha256


def _begun(archive: Archive, place: str, agency: Agency, slug: str, now: datetime) -> Client:
    """The client of this archive as far as it came, or a new one. Raises BringRefused where the name is taken."""
    told = archive.fact(f"{place}/client.json")
    digest = archive.manifest.pieces[f"{place}/client.json"].sha256
    found = Client.objects.filter(slug=slug).first()
    if found is not None and found.origin.get("archive") == digest and not found.origin.get("is_whole"):
        return found
    client = Client(agency=agency, slug=_short_name(slug), created_at=now, **_facts(told, place))
    client.origin = {"archive": digest, "is_whole": False}
    try:
        with transaction.atomic():
            client.save()
    except IntegrityError as taken:
        words = {"slug": slug}
        raise BringRefused(
            _("This installation has a client %(slug)s already: bring it in under another short name (--as).") % words
        ) from taken
    return client


def _short_name(slug: str) -> str:
    try:
        return naming.short_name(slug, naming.CLIENT_RESERVED)
    except naming.BadName as bad:
        raise BringRefused(_("%(why)s Bring it in under such a name (--as).") % {"why": bad}) from bad


def _facts(told: dict[str, Any], place: str) -> dict[str, Any]:
    """Raises NotAnArchive for what no client can have."""
    found: dict[str, Any] = {}
    for name in FACTS:
        try:
            found[name] = cleaned(Client._meta.get_field(name), told[name])
            if name in JUDGED:
                JUDGED[name](found[name])
        except UNREADABLE as fault:
            raise NotAnArchive(f"{place}/client.json, {name}: {why(fault)}") from fault
    return found


def _files(archive: Archive, place: str, client: Client) -> int:
    store, count = store_of(client.pk), 0
    for name, digest in archive.files(place):
        count += 1
        if not store.has(digest) and store.put_chunks(archive.chunks(name)) != digest:
            raise NotAnArchive(f"{name} is not what its name says.")
    return count


def _rows(archive: Archive, name: str, client: Client, actor: str, now: datetime, files: int) -> Brought:
    place, to, count = f"clients/{name}", Bringing(client, now, min(archive.manifest.made_at, now)), 0
    for model in (model for model in tables() if model not in (*STAYS_BEHIND, *LAST)):
        count += to.bring(model, archive.lines(f"{place}/tables/{model._meta.db_table}.jsonl"))
    to.finish()
    try:  # Now that all of it counts; another that comes in at once waits here.
        usage.refuse_beyond(client, now, CapKind.BYTES, more=0)
    except CapReached as reached:
        raise BringRefused(str(reached)) from reached
    told = archive.manifest.clients[name]
    ledger = store_of(client.pk).put_chunks(archive.chunks(f"{place}/ledger.jsonl"))
    for model in LAST:
        count += to.bring(model, archive.lines(f"{place}/tables/{model._meta.db_table}.jsonl"))
    client.origin |= {"is_whole": True, "ledger": ledger, "acts": told.acts, "head": told.head, "slug": name}
    client.save(update_fields=["origin"])
    detail: dict[str, Any] = {"rows": count, "files": files, "ledger": ledger, "acts": told.acts, "head": told.head}
    AuditEvent.append(client, actor, "client.bring", client.slug, now, detail)
    return Brought(client.slug, count, files, to.left_out)
