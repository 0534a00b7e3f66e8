"""`manage.py rollback CLIENT/PIPELINE`: moves all traffic back to an earlier version."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_pipeline, operator
from pipelines.actions import ActionRefused, roll_back
from pipelines.models import ModelVersion
from tenants.models import Pipeline


class Command(BaseCommand):
    help = "Rolls a pipeline back, to the version before or to any archived one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        parser.add_argument("--to", metavar="vN", help="the version to go back to; left out, the one before")
        parser.add_argument("--reason", required=True, help="kept in the ledger")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        with opened_pipeline(options["pipeline"]) as pipeline:
            target = _version(pipeline, options["to"]) if options["to"] else None
            try:
                made = roll_back(pipeline, to=target, actor=operator(), reason=options["reason"], now=now)
            except ActionRefused as error:
                raise CommandError(str(error)) from error
            words = {"gone": made.from_version, "back": made.to_version}
        self.stdout.write(_("%(gone)s was taken back; %(back)s answers all traffic.") % words)


def _version(pipeline: Pipeline, label: str) -> ModelVersion:
    number = label.removeprefix("v")
    found = ModelVersion.objects.filter(pipeline=pipeline, number=number).first() if number.isdecimal() else None
    if found is None:
        raise CommandError(_("%(pipeline)s has no version %(label)s.") % {"pipeline": pipeline.slug, "label": label})
    return found
