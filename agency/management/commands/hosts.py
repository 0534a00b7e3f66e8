"""`manage.py hosts CLIENT [NAME]`: how a client's hosts do; asks, drains, or changes what we show to one of them."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_client, operator
from agency.portal.probe import ask, keep
from pipelines.actions import ActionRefused
from pipelines.actions import hosts as acts
from pipelines.outbound import Access
from tenants.models import Client, Host


class Command(BaseCommand):
    help = "Shows the hosts of a client; with a name and an order, acts on that one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client", metavar="CLIENT")
        parser.add_argument("name", metavar="NAME", nargs="?", default="")
        orders = parser.add_mutually_exclusive_group()
        orders.add_argument("--ask", action="store_true", help="ask it now")
        orders.add_argument("--drain", action="store_true", help="no new version, no traffic that others can take")
        orders.add_argument("--undrain", action="store_true", help="takes versions again")
        orders.add_argument(
            "--access", metavar="FILE", help="JSON with header, value, certificate, key, authority; - is standard input"
        )
        parser.add_argument("--reason", default="", help="of a drain, kept in the ledger")

    def handle(self, *args: Any, **options: Any) -> None:
        with opened_client(options["client"]) as client:
            if not options["name"]:
                for row in Host.objects.filter(client=client):
                    self.stdout.write(_line(row))
                return
            row = _named(client, options["name"])
            try:
                said = _act(row, options)
            except ActionRefused as refused:
                raise CommandError(str(refused)) from refused
            row.refresh_from_db()
            self.stdout.write(said or _line(row))


def _act(row: Host, options: dict[str, Any]) -> str:
    now, by = timezone.now(), operator()
    if options["drain"]:
        acts.drain(row, actor=by, reason=options["reason"], now=now)
    elif options["undrain"]:
        acts.undrain(row, actor=by, reason=options["reason"], now=now)
    elif options["access"]:
        acts.set_access(row, _access(options["access"]), actor=by, now=now)
        row.refresh_from_db()
    return keep(row, ask(row), now) if options["ask"] or options["access"] else ""


def _access(name: str) -> Access:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
        said = json.loads(text)
        if not isinstance(said, dict) or not all(isinstance(one, str) for one in said.values()):
            raise TypeError(_("a JSON object is needed, and each of its values is a text."))
        return Access(**said)
    except (OSError, ValueError, TypeError) as fault:
        raise CommandError(_("%(name)s cannot be read as an access: %(why)s") % {"name": name, "why": fault}) from None


def _named(client: Client, name: str) -> Host:
    row = Host.objects.filter(client=client, name=name).first()
    if row is None:
        known = ", ".join(Host.objects.filter(client=client).values_list("name", flat=True)) or "-"
        raise CommandError(_("There is no host %(name)s. Known: %(known)s.") % {"name": name, "known": known})
    return row


def _line(row: Host) -> str:
    state = row.facts.get("error") or " ".join(str(row.facts.get(name, "")) for name in ("version", "generation"))
    drained = _("drained") if row.is_drained else ""
    return "\t".join((row.name, row.url, drained or ("" if row.is_enabled else _("off")), state.strip() or "-"))
