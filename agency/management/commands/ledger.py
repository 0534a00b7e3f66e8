"""`manage.py ledger verify`: walks every client's chain of acts and names the first broken row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from agency.management.targets import opened_client
from tenants import crossing, scope
from tenants.models import Agency, AuditEvent, Client
from tenants.models.audit_event import GENESIS

CHUNK = 1000


@dataclass(frozen=True)
class Chain:
    """`broken` says which row is the first that does not fit, and why; empty when the chain is whole.

    `head` is the last row's digest. A chain does not show that its end was cut off; a head noted elsewhere does.
    """

    count: int
    head: str
    broken: str = ""


class Command(BaseCommand):
    help = "Verifies the ledger: each client's count of acts, and whether its chain is whole. Exits 1 if one is not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["verify"])
        parser.add_argument("--client", help="slug of one client; all when left out")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = [_named(options["client"])] if options["client"] else crossing.ask("all_clients")
        agencies = [] if options["client"] else list(Agency.objects.order_by("pk"))
        walked = [*map(_walked_agency, agencies), *map(_walked, chosen)]
        broken = [slug for slug, chain in walked if self._say(slug, chain)]
        if broken:
            raise CommandError(_("Broken: %(clients)s.") % {"clients": ", ".join(broken)})

    def _say(self, slug: str, chain: Chain) -> str:
        verdict = chain.broken or _("chain whole")
        self.stdout.write(f"{slug}: {chain.count} {_('acts')}, {verdict} ({chain.head[:12]})")
        return chain.broken


def walk(events: Iterable[AuditEvent]) -> Chain:
    """Checks numbering, links and digests of one client's acts, in order of `seq`."""
    count, head = 0, GENESIS
    for event in events:
        broken = _flaw(event, count + 1, head)
        if broken:
            return Chain(count, head, broken)
        count, head = event.seq, event.digest
    return Chain(count, head)


def _flaw(event: AuditEvent, seq: int, previous: str) -> str:
    words = {"seq": event.seq, "expected": seq, "at": event.at.isoformat()}
    if event.seq != seq:
        return _("row %(expected)s is missing before row %(seq)s of %(at)s") % words
    if event.previous != previous:
        return _("row %(seq)s of %(at)s does not follow the row before it") % words
    if event.digest != event.computed_digest():
        return _("row %(seq)s of %(at)s was changed") % words
    return ""


def _named(slug: str) -> tuple[int, ...]:
    with opened_client(slug) as client:
        return client.agency_id, client.pk


def _walked_agency(agency: Agency) -> tuple[str, Chain]:
    """The acts in the agency itself: founding it, its people."""
    with scope.agency_scope(agency.pk):
        return agency.slug, walk(_events(None))


def _walked(ids: tuple[int, ...]) -> tuple[str, Chain]:
    agency_id, client_id = ids
    with scope.client_scope(client_id, agency_id):
        slug: str = Client.objects.get(pk=client_id).slug
        return slug, walk(_events(client_id))


def _events(client_id: int | None) -> Iterator[AuditEvent]:
    """In chunks by number: a server-side cursor would outlive the transaction that carries the scope."""
    rows = AuditEvent.objects.filter(client_id=client_id).order_by("seq")
    last = -1
    while chunk := list(rows.filter(seq__gt=last)[:CHUNK]):
        yield from chunk
        last = chunk[-1].seq
