"""What a client's people are shown, and by which links: brand, language, shared examples, share links."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from tenants import crossing, scope
from tenants.models import Agency, AuditEvent, Brand, Client, Pipeline, SharedExample, ShareLink
from tenants.models.share_link import token_digest

SEEN_EVERY = timedelta(minutes=1)  # A page that is reloaded does not write each time.


class StaleEdit(ValueError):
    """Somebody else saved in between. `changes`: (name, theirs, yours) of what differs. Nothing was changed."""

    def __init__(self, changes: list[tuple[str, str, str]]) -> None:
        super().__init__(_("Somebody else saved this in the meantime. Nothing of yours was saved yet."))
        self.changes = changes


def brand_of(agency_id: int) -> Brand:
    """The agency's brand, an unsaved one where nothing was set. From any scope inside the agency."""
    with scope.agency_scope(agency_id):
        found: Brand | None = Brand.objects.filter(agency_id=agency_id).first()
    return found or Brand(agency_id=agency_id)


@transaction.atomic
def change_brand(agency: Agency, given: dict[str, Any], revision: int, actor: str, now: datetime) -> Brand:
    """`given`: columns of the brand. `revision` is the one that the editor saw. Raises `StaleEdit`."""
    Agency.objects.select_for_update().get(pk=agency.pk)
    row = Brand.objects.filter(agency=agency).first() or Brand(agency=agency)
    if row.revision != revision:
        raise StaleEdit(_differences(row, given))
    changed = sorted(name for name, value in given.items() if _plain(getattr(row, name)) != _plain(value))
    for name, value in given.items():
        setattr(row, name, value)
    row.revision, row.updated_at = revision + 1, now
    row.save()
    AuditEvent.append(agency, actor, "brand.change", agency.slug, now, {"changed": changed})
    return row


def _differences(row: Brand, given: dict[str, Any]) -> list[tuple[str, str, str]]:
    pairs = ((name, _shown(getattr(row, name)), _shown(value)) for name, value in given.items())
    return [pair for pair in pairs if pair[1] != pair[2]]


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _shown(value: Any) -> str:
    if isinstance(value, bytes | memoryview) and value:
        return _("a picture of %(n)s bytes") % {"n": len(value)}
    return str(value or "–")


@transaction.atomic
def change_report(client: Client, language: str, contact: str, actor: str, now: datetime) -> None:
    """The language of a client's pages and mails, and whom its people call."""
    detail = {"language": [client.language, language], "contact": [client.contact, contact]}
    client.language, client.contact = language, contact
    client.save(update_fields=["language", "contact"])
    AuditEvent.append(client, actor, "report.change", client.slug, now, detail)


def approved_of(pipeline: Pipeline) -> str:
    """SHA-256 of all that anybody with a share link may read of a pipeline's answers: another once that changes."""
    approved = SharedExample.objects.filter(pipeline=pipeline).exclude(digest="").order_by("digest")
    return hashlib.sha256("\n".join(approved.values_list("digest", flat=True)).encode()).hexdigest()


@transaction.atomic
def share_examples(
    pipeline: Pipeline,
    offered: Mapping[str, tuple[int, str]],
    chosen: Iterable[str],
    seen: str,
    actor: str,
    now: datetime,
) -> None:
    """Of the examples that the editor was `offered` ({digest: (version, key)}), those `chosen` may be read by anybody
    with a share link; the rest may not. `seen`: `approved_of` when the list was drawn. Raises `StaleEdit`."""
    Pipeline.objects.select_for_update().get(pk=pipeline.pk)
    if seen != approved_of(pipeline):
        raise StaleEdit([])
    wanted = set(chosen) & offered.keys()
    rows = SharedExample.objects.filter(pipeline=pipeline, digest__in=offered.keys())
    known = set(rows.values_list("digest", flat=True))
    rows.exclude(digest__in=wanted).delete()
    for digest in sorted(wanted - known):
        version, key = offered[digest]
        fields = {"version": version, "key": key, "approved_by": actor, "approved_at": now}
        SharedExample.of(pipeline, pipeline=pipeline, digest=digest, **fields).save()
    changed = {"approved": wanted - known, "taken_back": known - wanted}
    detail = {name: sorted("v{} {}".format(*offered[one]) for one in digests) for name, digests in changed.items()}
    AuditEvent.append(pipeline, actor, "examples.share", pipeline.slug, now, detail)


@transaction.atomic
def issue_link(
    client: Client, pipeline: Pipeline | None, name: str, days: int, actor: str, now: datetime
) -> tuple[ShareLink, str]:
    """A link and its token, which is told this once."""
    fields = {"name": name, "pipeline": pipeline, "created_by": actor, "created_at": now}
    row, token = ShareLink.issue(client, expires_at=now + timedelta(days=days), **fields)
    detail = {"days": days, "pipeline": pipeline.slug if pipeline else None}
    AuditEvent.append(client, actor, "share.issue", name, now, detail)
    return row, token


@transaction.atomic
def revoke_link(link: ShareLink, actor: str, now: datetime, reason: str = "") -> None:
    link.revoked_at = now
    link.save(update_fields=["revoked_at"])
    AuditEvent.append(link, actor, "share.revoke", link.name, now, {"reason": reason})


def find_link(token: str) -> ShareLink | None:
    """The link of a token, open or not; its client's scope is entered for the rest of the request."""
    for agency_id, client_id, pk in crossing.ask("share_by_digest", digest=token_digest(token)):
        scope.narrow(client_id, agency_id)
        found: ShareLink | None = ShareLink.objects.select_related("client__agency", "pipeline").filter(pk=pk).first()
        return found
    return None


def note_view(link: ShareLink, now: datetime) -> None:
    """Who opened it is not kept, only that and when somebody did."""
    if link.last_viewed_at is None or now - link.last_viewed_at >= SEEN_EVERY:
        ShareLink.objects.filter(pk=link.pk).update(last_viewed_at=now, views=F("views") + 1)
