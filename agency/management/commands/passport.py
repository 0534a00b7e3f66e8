"""`manage.py passport issue CLIENT/PIPELINE vN`, `verify FILE`, `key`: signed facts of a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_pipeline
from pipelines.models import ModelVersion
from pipelines.reports.changes import passport
from tenants.crypto import signing


class Command(BaseCommand):
    help = "Issues the passport of a version, verifies one without a database, or prints the installation's key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["issue", "verify", "key"])
        parser.add_argument("names", nargs="*", help="issue: CLIENT/PIPELINE vN; verify: FILE")
        parser.add_argument("--public-key", metavar="FILE", help="verify: the key that you trust")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["act"], options["names"]:
            case "issue", [pipeline, label]:
                self.stdout.write(_issued(pipeline, label))
            case "verify", [name]:
                self._verify(Path(name), options["public_key"])
            case "key", []:
                pem = signing.public_pem()
                self.stdout.write(f"{pem}{_('fingerprint')} {signing.fingerprint(pem)}")
            case _:
                raise CommandError(_("Write: issue CLIENT/PIPELINE vN, or verify FILE, or key."))

    def _verify(self, file: Path, trusted: str | None) -> None:
        try:
            text = file.read_text()
            found = passport.verify(text, Path(trusted).read_text() if trusted else "")
        except (OSError, ValueError) as error:
            raise CommandError(_("%(file)s cannot be read: %(why)s") % {"file": file, "why": error}) from error
        if found.obstacle:
            raise CommandError(found.obstacle)
        card = found.facts["card"]
        name = f"{card['client']}/{card['pipeline']} {card['version']}"
        self.stdout.write(_("%(name)s: the signature fits.") % {"name": name})
        self.stdout.write(f"{_('fingerprint')} {found.fingerprint}")
        for what, value in found.facts["served_as"].items():
            self.stdout.write(f"  {what}: {value}")


def _issued(name: str, label: str) -> str:
    with opened_pipeline(name) as pipeline:
        number = label.removeprefix("v")
        rows = ModelVersion.objects.select_related("client", "pipeline", "dataset", "run__revision")
        version = rows.filter(pipeline=pipeline, number=number).first() if number.isdecimal() else None
        if version is None:
            raise CommandError(_("%(name)s has no version %(label)s.") % {"name": name, "label": label})
        return passport.passport(version, timezone.now())
