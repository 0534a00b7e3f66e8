"""`manage.py ledger verify | at | changes`: whether the chains of acts are whole, what served when, what changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from agency.management.targets import opened_client
from pipelines.reports.changes.ledger import changed_between, served_at
from tenants import crossing, scope
from tenants.ledger import Chain, events_of, walk
from tenants.models import Agency, Client

__all__ = ["Command", "walk"]


class Command(BaseCommand):
    help = "Verifies the ledger of acts; says what served a client at a time, or what changed between two."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["verify", "at", "changes"])
        parser.add_argument("--client", help="slug of one client; to verify, all when left out")
        parser.add_argument("--time", help="ISO 8601, for example 2026-03-03T04:00+01:00; now when left out")
        parser.add_argument("--since", help="ISO 8601: changes after it")
        parser.add_argument("--until", help="ISO 8601: changes up to it; now when left out")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["act"]:
            case "verify":
                self._verify(options["client"])
            case "at":
                self._at(options["client"], _moment(options["time"]))
            case "changes":
                if not options["since"]:
                    raise CommandError(_("Say since when: --since 2026-03-01T00:00Z"))
                self._changes(options["client"], _moment(options["since"]), _moment(options["until"]))

    def _verify(self, client: str | None) -> None:
        chosen = [_named(client)] if client else crossing.ask("all_clients")
        agencies = [] if client else list(Agency.objects.order_by("pk"))
        walked = [*map(_walked_agency, agencies), *map(_walked, chosen)]
        broken = [slug for slug, chain in walked if self._say(slug, chain)]
        if broken:
            raise CommandError(_("Broken: %(clients)s.") % {"clients": ", ".join(broken)})

    def _say(self, slug: str, chain: Chain) -> str:
        verdict = chain.broken or _("chain whole")
        self.stdout.write(f"{slug}: {chain.count} {_('acts')}, {verdict} ({chain.head[:12]})")
        return chain.broken

    def _at(self, slug: str | None, at: datetime) -> None:
        with opened_client(slug or "") as client:
            answer = served_at(client, at)
        self._say(client.slug, answer.chain)
        for pipeline, served in sorted(answer.picture.serving.items()):
            self.stdout.write(f"{pipeline}: since {served.since.isoformat()} by {served.by} (row {served.seq})")
            for arm, facts in (("production", served.production), (f"{served.share:.0%}", served.candidate)):
                for name, value in (facts or {}).items():
                    self.stdout.write(f"  {arm} {name}: {value}")
        for part in ("settings", "hosts", "keys", "people", "waivers", "freezes"):
            for name, value in sorted(getattr(answer.picture, part).items()):
                self.stdout.write(f"{part} {name}: {value}")

    def _changes(self, slug: str | None, since: datetime, until: datetime) -> None:
        with opened_client(slug or "") as client:
            found = changed_between(client, since, until)
        self._say(client.slug, found.chain)
        for one in found.differences:
            self.stdout.write(f"{one.what} {one.name}: {one.before or '-'} -> {one.after or '-'}")
        for act in found.acts:
            self.stdout.write(f"#{act.seq} {act.at.isoformat()} {act.actor} {act.verb} {act.subject}")


def _moment(text: str | None) -> datetime:
    if not text:
        return timezone.now()
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise CommandError(_("%(text)s is no time. Write for example 2026-03-03T04:00+01:00.") % {"text": text})
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def _named(slug: str) -> tuple[int, ...]:
    with opened_client(slug) as client:
        return client.agency_id, client.pk


def _walked_agency(agency: Agency) -> tuple[str, Chain]:
    """The acts in the agency itself: founding it, its people."""
    with scope.agency_scope(agency.pk):
        return agency.slug, walk(events_of(None))


def _walked(ids: tuple[int, ...]) -> tuple[str, Chain]:
    agency_id, client_id = ids
    with scope.client_scope(client_id, agency_id):
        slug: str = Client.objects.get(pk=client_id).slug
        return slug, walk(events_of(client_id))
