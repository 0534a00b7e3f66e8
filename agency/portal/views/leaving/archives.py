"""The archive of a client or of the whole agency, streamed to an owner's browser as it is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from agency.actor import open_agency, open_client
from agency.leaving.export.archive import agency_archive, client_archive, scoped
from agency.portal.context import who
from tenants import access
from tenants.models import Agency, AuditEvent


@require_POST
def client_file(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    row, now = open_client(request, slug, access.ADMINISTER), timezone.now()
    AuditEvent.append(row, who(request), "client.export", row.slug, now)
    return _file(f"{row.slug}", client_archive(row, now), now)


@require_POST
def agency_file(request: HttpRequest) -> StreamingHttpResponse:
    actor, now = open_agency(request, access.ADMINISTER), timezone.now()
    agency = Agency.objects.get(pk=actor.agency_id or 0)
    AuditEvent.append(agency, who(request), "agency.export", agency.slug, now)
    return _file(agency.slug, agency_archive(agency, now), now)


def _file(name: str, pieces: Iterator[bytes], now: datetime) -> StreamingHttpResponse:
    disposition = f'attachment; filename="{name}-{now:%Y-%m-%d}.tar"'
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
    return StreamingHttpResponse(one_by_one(scoped(pieces)), content_type="application/x-tar", headers=headers)


async def one_by_one(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """In the request's thread, a piece when the last one is sent: a plain iterator would be read whole into memory."""
    while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
        yield piece
