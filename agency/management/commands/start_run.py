"""`manage.py start_run CLIENT/PIPELINE`: starts a run by hand; `--model FILE` brings what was trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_pipeline, operator
from pipelines.actions import ActionRefused, start_run
from pipelines.actions.elsewhere import import_model
from pipelines.artifacts import StoreFull
from pipelines.models import Run
from tenants.models import Pipeline

CHUNK_BYTES = 1 << 20


class Command(BaseCommand):
    help = "Starts a run of a pipeline."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        parser.add_argument("--reason", default="", help="kept in the ledger")
        parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF, or a tar or zip of a model's folder")
        parser.add_argument("--force", action="store_true", help="also during the cooldown; needs a reason")

    def handle(self, *args: Any, **options: Any) -> None:
        said = {"actor": operator(), "now": timezone.now(), "reason": options["reason"], "force": options["force"]}
        with opened_pipeline(options["pipeline"]) as pipeline:
            try:
                run = _started(pipeline, options["model"], said)
            except (ActionRefused, StoreFull) as error:
                raise CommandError(str(error)) from error
        self.stdout.write(_("Run %(number)s is queued.") % {"number": run.number})


def _started(pipeline: Pipeline, model: Path | None, said: dict[str, Any]) -> Run:
    if model is None:
        return start_run(pipeline, **said)
    try:
        with model.open("rb") as file:
            return import_model(pipeline, model.name, iter(lambda: file.read(CHUNK_BYTES), b""), **said)
    except OSError as error:
        raise CommandError(_("%(path)s cannot be read: %(why)s") % {"path": model, "why": error.strerror}) from error
