"""`manage.py import CLIENT/PIPELINE FILE`: a JSONL, JSON, CSV, XLSX or Parquet file into a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _
from pydantic import ValidationError

from agency.management.targets import opened_pipeline, operator
from pipelines.actions import ActionRefused, imports
from pipelines.artifacts import StoreFull
from pipelines.imports import BadFile, Mapping
from pipelines.models import Batch
from pipelines.records.files import mapping_of
from pipelines.reports.data.imports import in_words, preview
from tenants.models import Pipeline

COLUMNS = ("user", "assistant", "label", "system")
FOUND_OUT = ("format", "encoding", "delimiter", "sheet")


class Command(BaseCommand):
    help = "Imports a file of examples. What is not said is found out, or taken from the source's last file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        parser.add_argument("file", type=Path)
        parser.add_argument("--source", default="upload", help="where the rows come from; remembers how they are read")
        for name in COLUMNS:
            parser.add_argument(f"--{name}", metavar="COLUMN")
        parser.add_argument("--instruction", metavar="TEXT", help="a system prompt that every row gets")
        for name in FOUND_OUT:
            parser.add_argument(f"--{name}")
        parser.add_argument("--look", action="store_true", help="show the first rows and import nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(_("There is no file %(path)s.") % {"path": path})
        with opened_pipeline(options["pipeline"]) as pipeline:
            try:
                batch = self._import(pipeline, path, options)
            except (ActionRefused, BadFile, StoreFull) as refused:
                raise CommandError(str(refused)) from refused
        if batch is not None:
            words = {"batch": batch.pk, "rows": batch.rows, "quarantined": batch.quarantined}
            self.stdout.write(_("Batch %(batch)s: %(rows)s rows, %(quarantined)s quarantined.") % words)

    def _import(self, pipeline: Pipeline, path: Path, options: dict[str, Any]) -> Batch | None:
        named = (options["source"], path.name)
        draft = imports.stage_file(pipeline, *named, imports.chunks_of(path), actor=operator(), now=timezone.now())
        try:
            batch = self._read(draft, options)
        except (ActionRefused, BadFile, StoreFull):
            draft.delete()
            raise
        if batch is None or batch.error:
            draft.delete()
        if batch is not None and batch.error:
            raise BadFile(batch.error)
        return batch

    def _read(self, draft: Batch, options: dict[str, Any]) -> Batch | None:
        said = {name: options[name] for name in (*COLUMNS, "instruction", *FOUND_OUT) if options[name] is not None}
        mapping = _mapping(mapping_of(draft), said)
        shown = preview(draft, mapping)
        if shown.refusal:
            raise BadFile(shown.refusal)
        self.stdout.write(in_words(shown))
        if options["look"]:
            for row in shown.rows:
                self.stdout.write(f"  {row.number}: {row.summary}")
            return None
        batch = imports.start_import(draft, shown.mapping, now=timezone.now(), by_worker=False)
        imports.read_file(batch.pk, timezone.now)
        batch.refresh_from_db()
        return batch


def _mapping(saved: Mapping, said: dict[str, str]) -> Mapping:
    """The source's mapping; what is said of any column replaces all that is known of columns."""
    kept = saved.model_dump(exclude=set(COLUMNS) if set(COLUMNS) & said.keys() else set())
    try:
        return Mapping.model_validate(kept | said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CommandError(f"--{first['loc'][0]}: {first['msg']}") from error
