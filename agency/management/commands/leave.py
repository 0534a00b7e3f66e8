"""`manage.py leave export | bring | erase | verify`: archives, the way back in, and erasure with its certificate."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.backup.manifest import NotAnArchive
from agency.leaving.bring.client import BringRefused, bring_all
from agency.leaving.erasing import FORMAT, carry_out
from agency.leaving.export.archive import agency_archive, client_archive, write
from agency.leaving.tar import Changed
from agency.management.ending import tidied
from agency.management.targets import opened_client, operator
from pipelines.actions.clients.erasure import order_erasure
from pipelines.actions.refused import ActionRefused
from pipelines.artifacts import ArtifactDamaged, StoreFull
from tenants import scope
from tenants.crypto.certificate import verify
from tenants.models import Agency, AuditEvent, Erasure


class Command(BaseCommand):
    help = "Takes a client or an agency along."

    def add_arguments(self, parser: ArgumentParser) -> None:
        orders = parser.add_subparsers(dest="order", required=True)
        export = orders.add_parser("export", help="one tar that opens without Retune")
        export.add_argument("name", metavar="CLIENT")
        export.add_argument("file", type=Path, metavar="FILE.tar")
        export.add_argument("--agency", action="store_true", help="CLIENT names an agency: all of its clients")
        bring = orders.add_parser("bring", help="an archive into this installation: new ids, same digests")
        bring.add_argument("file", type=Path, metavar="FILE.tar")
        bring.add_argument("--agency", required=True, metavar="AGENCY", help="whose clients they become")
        bring.add_argument("--as", dest="rename", default="", metavar="SLUG", help="another short name")
        erase = orders.add_parser("erase", help="a client for good; leaves a signed certificate")
        erase.add_argument("name", metavar="CLIENT")
        erase.add_argument("--name", dest="typed", default="", help="the client's full name, so that nobody slips")
        erase.add_argument("--reason", default="")
        erase.add_argument("--end-runs", action="store_true", help="ends what is under way")
        verify = orders.add_parser("verify", help="reads a certificate of an erasure, without a database")
        verify.add_argument("file", type=Path, metavar="FILE.json")
        verify.add_argument("--public-key", type=Path, metavar="FILE", help="the key that you trust")

    def handle(self, *args: Any, **options: Any) -> None:
        ORDERS[options["order"]](self, options)

    def export(self, options: dict[str, Any]) -> None:
        out: Path = options["file"]
        if out.exists():
            raise CommandError(_("%(name)s is there already: name another file.") % {"name": out})
        pieces = _whole(options["name"]) if options["agency"] else _client(options["name"])
        try:
            with tidied():
                size = write(out, pieces)
        except (OSError, ArtifactDamaged, StoreFull, Changed) as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(_("%(name)s: %(mb)s MB.") % {"name": out, "mb": f"{size / 1e6:.1f}"})

    def bring(self, options: dict[str, Any]) -> None:
        agency, who = _agency(options["agency"]), operator()
        try:
            for one in bring_all(options["file"], agency, who, timezone.now(), options["rename"]):
                self.stdout.write(_("%(slug)s: %(rows)s rows, %(files)s files.") % asdict(one))
                if one.left_out:
                    words = {"n": one.left_out}
                    self.stdout.write(_("%(n)s rows were left out: what they name went meanwhile.") % words)
        except (OSError, StoreFull, NotAnArchive, BringRefused) as fault:
            raise CommandError(str(fault)) from fault

    def erase(self, options: dict[str, Any]) -> None:
        """An order that was given, or broke off, is carried out; else a new one is given."""
        try:
            done = _erased(options)
        except ActionRefused as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(done.certificate)

    def verify(self, options: dict[str, Any]) -> None:
        trusted: Path | None = options["public_key"]
        try:
            found = verify(options["file"].read_text(), FORMAT, trusted.read_text() if trusted else "")
        except (OSError, ValueError) as fault:
            raise CommandError(str(fault)) from fault
        if found.obstacle:
            raise CommandError(found.obstacle)
        rows = sum(table["rows"] for table in found.facts["tables"].values())
        words = {"name": found.facts["client"]["name"], "rows": rows, "files": len(found.facts["files"])}
        self.stdout.write(_("%(name)s: %(rows)s rows and %(files)s files were erased; the signature fits.") % words)
        self.stdout.write(f"{_('fingerprint')} {found.fingerprint}")


def _erased(options: dict[str, Any]) -> Erasure:
    slug, now = options["name"], timezone.now()
    for agency in Agency.objects.all():
        with scope.agency_scope(agency.pk):
            order = Erasure.objects.select_related("agency").filter(slug=slug, certificate="").first()
            if order is not None:
                return carry_out(order, now)
    with opened_client(slug) as client, scope.agency_scope(client.agency_id):
        said = {"actor": operator(), "reason": options["reason"], "now": now}
        ordered = order_erasure(client, options["typed"], ends_runs=options["end_runs"], **said)
        return carry_out(ordered, timezone.now())


def _client(slug: str) -> Iterator[bytes]:
    with opened_client(slug) as client:
        AuditEvent.append(client, operator(), "client.export", client.slug, timezone.now())
        return client_archive(client, timezone.now())


def _whole(slug: str) -> Iterator[bytes]:
    agency = _agency(slug)
    with scope.agency_scope(agency.pk):
        AuditEvent.append(agency, operator(), "agency.export", agency.slug, timezone.now())
    return agency_archive(agency, timezone.now())


def _agency(slug: str) -> Agency:
    agency = Agency.objects.filter(slug=slug).first()
    if agency is None:
        known = ", ".join(Agency.objects.order_by("slug").values_list("slug", flat=True))
        raise CommandError(_("There is no agency %(slug)s. There is: %(known)s.") % {"slug": slug, "known": known})
    return agency


ORDERS = {"export": Command.export, "bring": Command.bring, "erase": Command.erase, "verify": Command.verify}
