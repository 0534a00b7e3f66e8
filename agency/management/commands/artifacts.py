"""`manage.py artifacts verify|gc|keep CLIENT` and `artifacts trim`.

What a client's versions, datasets and answers lie in; and the cache before an object store.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_client, operator
from pipelines import keeping
from pipelines.artifacts import StoreFull, store_of
from pipelines.storage.caching import trim_cache
from tenants.actions import set_retention
from tenants.models import Client


class Command(BaseCommand):
    help = "Checks or collects the artifacts of a client, or changes what is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        orders = parser.add_subparsers(dest="order", required=True)
        verify = orders.add_parser("verify", help="reads every byte; exit status 1 where something is damaged")
        gc = orders.add_parser("gc", help="removes what the client's retention gives up and what no row names")
        gc.add_argument("--dry-run", action="store_true", help="only says what would go")
        keep = orders.add_parser("keep", help="how long weights are kept")
        keep.add_argument("--versions", type=int, required=True, help="that were in production: the last so many")
        keep.add_argument("--days", type=int, required=True, help="nothing younger goes")
        orders.add_parser("trim", help="keeps this machine's cache of the object store below its size, for all clients")
        for one in (verify, gc, keep):
            one.add_argument("client", metavar="CLIENT")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["order"] == "trim":
            self.stdout.write(_("%(n)s copies dropped.") % {"n": trim_cache(timezone.now())})
            return
        with opened_client(options["client"]) as client:
            said = ORDERS[options["order"]](self, client, options)
        self.stdout.write(said)

    def verify(self, client: Client, options: dict[str, Any]) -> str:
        try:
            found = list(keeping.verify(store_of(client.pk)))
        except StoreFull as full:
            raise CommandError(str(full)) from full
        wrong = [why for _digest, why in found if why]
        if wrong:
            raise CommandError("\n".join(wrong))
        return _("%(n)s artifacts are whole.") % {"n": len(found)}

    def collect(self, client: Client, options: dict[str, Any]) -> str:
        if options["dry_run"]:
            names = keeping.plan(client, timezone.now())
            return "\n".join([*names, _("%(n)s would go.") % {"n": len(names)}])
        gone = keeping.collect(client, timezone.now())
        words = {"n": len(gone.digests), "mb": f"{gone.size_bytes / 1e6:.1f}"}
        return _("%(n)s artifacts removed, %(mb)s MB freed.") % words

    def keep(self, client: Client, options: dict[str, Any]) -> str:
        try:
            set_retention(client, options["versions"], options["days"], operator(), timezone.now())
        except ValueError as refused:
            raise CommandError(str(refused)) from refused
        return _("Kept from now on.")


ORDERS = {"verify": Command.verify, "gc": Command.collect, "keep": Command.keep}
