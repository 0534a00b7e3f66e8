"""`manage.py restore FILE.tar`: an archive into an installation that is still empty."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils.translation import gettext as _

from agency.backup import archive, databases, manifest
from agency.backup.databases import CannotCopy
from agency.backup.manifest import Manifest, NotAnArchive
from agency.health.looks import migrating
from pipelines.artifacts import ArtifactDamaged, StoreFull


class Command(BaseCommand):
    help = "Reads an archive of `manage.py backup` into an empty installation."
    requires_system_checks = ()  # They would ask a database that is not there yet.

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE.tar", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        try:
            found = archive.check(file)
            self._refuse(found)
            Path(settings.VAR).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.VAR) as scratch:
                archive.restore(file, found, Path(scratch))
            self._verify(found)
        except (OSError, NotAnArchive, CannotCopy, ArtifactDamaged, StoreFull) as fault:
            raise CommandError(str(fault)) from fault
        self._say(found)

    def _refuse(self, found: Manifest) -> None:
        if found.database != connection.vendor:
            words = {"theirs": found.database, "ours": connection.vendor}
            raise CommandError(_("The archive is of %(theirs)s, this installation of %(ours)s.") % words)
        manifest.refuse_other_key(found)
        if newer := manifest.unknown(found):
            words = {"names": ", ".join(newer)}
            raise CommandError(_("The archive is of a newer Retune (%(names)s): update this one first.") % words)
        if databases.tables():
            where = connection.settings_dict["NAME"]
            words = {"name": where}
            raise CommandError(
                _("%(name)s has tables already, and nothing is ever overwritten: name an empty one.") % words
            )

    def _verify(self, found: Manifest) -> None:
        wrong = [*archive.missing(found), *([] if manifest.is_behind(found) else manifest.torn(found))]
        if wrong:
            raise CommandError(_("Restored, but not whole: %(what)s") % {"what": "; ".join(wrong)})

    def _say(self, found: Manifest) -> None:
        words = {"n": len(found.heads), "at": found.made_at.isoformat(timespec="seconds"), "m": len(found.pieces) - 1}
        self.stdout.write(_("%(n)s clients and %(m)s artifacts as of %(at)s.") % words)
        self.stdout.write(_("Be sure that the old installation is stopped: two would ship to the same hosts."))
        self.stdout.write(
            _("Next: %(migrate)s, manage.py ledger verify, manage.py doctor, then start everything.")
            % {"migrate": migrating()}
        )
