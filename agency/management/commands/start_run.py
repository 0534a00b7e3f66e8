"""`manage.py start_run CLIENT/PIPELINE`: starts a run by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_pipeline, operator
from pipelines.actions import ActionRefused, start_run


class Command(BaseCommand):
    help = "Starts a run of a pipeline."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        parser.add_argument("--reason", default="", help="kept in the ledger")
        parser.add_argument("--force", action="store_true", help="also during the cooldown; needs a reason")

    def handle(self, *args: Any, **options: Any) -> None:
        reason, force = options["reason"], options["force"]
        with opened_pipeline(options["pipeline"]) as pipeline:
            try:
                run = start_run(pipeline, actor=operator(), now=timezone.now(), reason=reason, force=force)
            except ActionRefused as error:
                raise CommandError(str(error)) from error
        self.stdout.write(_("Run %(number)s is queued.") % {"number": run.number})
