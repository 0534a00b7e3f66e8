"""`manage.py backup FILE.tar`: the database of one moment and every artifact, while everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.backup import archive
from agency.backup.databases import CannotCopy
from agency.backup.manifest import Manifest, NotAnArchive
from agency.management.ending import tidied
from pipelines.artifacts import ArtifactDamaged, StoreFull


class Command(BaseCommand):
    help = "Writes the whole installation into one file, or (--check) reads every byte of such a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE.tar", type=Path)
        parser.add_argument("--check", action="store_true", help="reads an archive and changes nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        try:
            found = archive.check(file) if options["check"] else self._written(file)
        except (OSError, NotAnArchive, CannotCopy, ArtifactDamaged, StoreFull) as fault:
            raise CommandError(str(fault)) from fault
        words = {"name": file, "n": len(found.pieces) - 1, "kind": found.database, "mb": f"{found.size / 1e6:.1f}"}
        self.stdout.write(_("%(name)s: the %(kind)s database and %(n)s artifacts, %(mb)s MB.") % words)
        if not options["check"]:
            self.stdout.write(_("The secret key is not in it: keep a copy of it elsewhere."))

    def _written(self, file: Path) -> Manifest:
        if file.exists():
            raise CommandError(_("%(name)s is there already: name another file.") % {"name": file})
        with tidied():
            return archive.write(file, timezone.now())
