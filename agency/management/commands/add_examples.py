"""`manage.py add_examples CLIENT/PIPELINE FILE`: NDJSON lines into a batch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_pipeline, operator
from pipelines.actions import ActionRefused, add_examples


class Command(BaseCommand):
    help = "Adds the examples of an NDJSON file. The same file again answers with the same batch."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        parser.add_argument("file", type=Path)
        parser.add_argument("--token", help="names the upload; left out, it follows from the file's content")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(_("There is no file %(path)s.") % {"path": path})
        with opened_pipeline(options["pipeline"]) as pipeline, path.open("rb") as lines:
            fields = {"token": options["token"] or _digest(path), "actor": operator(), "source": path.name[:100]}
            try:
                batch = add_examples(pipeline, lines, now=timezone.now(), **fields)
            except ActionRefused as error:
                raise CommandError(str(error)) from error
        words = {"batch": batch.pk, "rows": batch.rows, "quarantined": batch.quarantined}
        self.stdout.write(_("Batch %(batch)s: %(rows)s lines, %(quarantined)s quarantined.") % words)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
