"""`manage.py pipeline_settings show|apply CLIENT/PIPELINE`: a pipeline's settings as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _
from pydantic import ValidationError

from agency.management.targets import opened_pipeline, operator
from pipelines.reports.judging.measurable import refuse_unfed
from tenants.actions import change_settings
from tenants.models import Pipeline
from tenants.people.four_eyes import TwoPeopleNeeded
from tenants.pipeline_settings import PipelineSettings


class Command(BaseCommand):
    help = "Shows a pipeline's settings as JSON, or applies them from a file ('-': standard input) as a new revision."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["show", "apply"])
        parser.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        parser.add_argument("file", nargs="?", default="-", help="JSON; only with apply")
        parser.add_argument("--reason", default="", help="kept with the revision")

    def handle(self, *args: Any, **options: Any) -> None:
        with opened_pipeline(options["pipeline"]) as pipeline:
            if options["act"] == "show":
                self.stdout.write(json.dumps(pipeline.revision.body if pipeline.revision else {}, indent=2))
            else:
                self._apply(pipeline, _read(options["file"]), options["reason"])

    def _apply(self, pipeline: Pipeline, body: dict[str, Any], reason: str) -> None:
        before = pipeline.revision
        try:
            wanted = PipelineSettings.model_validate(body).criteria.metrics
            unfed = refuse_unfed(pipeline, [name for name in wanted if name not in pipeline.settings.criteria.metrics])
            if unfed:
                raise CommandError(f"criteria.metrics: {unfed}")
            after = change_settings(pipeline, body, operator(), timezone.now(), reason)
        except TwoPeopleNeeded as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError("\n".join(_sentence(problem) for problem in error.errors())) from error
        if before is not None and after.pk == before.pk:
            self.stdout.write(_("Nothing differs from r%(number)s.") % {"number": after.number})
            return
        for path, old, new in after.changes_from(before):
            self.stdout.write(f"{path}: {json.dumps(old)} -> {json.dumps(new)}")
        self.stdout.write(_("Revision r%(number)s holds from the next run on.") % {"number": after.number})


def _read(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        body = json.loads(text)
    except (OSError, ValueError) as error:
        raise CommandError(_("Cannot read settings: %(error)s") % {"error": error}) from error
    if not isinstance(body, dict):
        raise CommandError(_("Settings are a JSON object."))
    return body


def _sentence(problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    return f"{path}: {problem['msg']}" if path else str(problem["msg"])
