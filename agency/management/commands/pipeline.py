"""`manage.py pipeline export|diff|apply CLIENT/PIPELINE`: a pipeline's settings as a file of somebody's repository."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from pydantic import ValidationError

from agency.as_code import changing, document
from agency.as_code.document import BadDocument, Document
from agency.management.targets import opened_client, opened_pipeline, operator
from tenants.actions import create_pipeline
from tenants.models import Pipeline
from tenants.models.settings_revision import changed
from tenants.people.four_eyes import TwoPeopleNeeded

NOTHING, DIFFERS = 0, 2


class Command(BaseCommand):
    help = "Writes a pipeline's settings as YAML, compares them with a file ('-': standard input), or applies the file."

    def add_arguments(self, parser: CommandParser) -> None:
        orders = parser.add_subparsers(dest="order", required=True)
        export = orders.add_parser("export", help="to standard output")
        diff = orders.add_parser("diff", help="what apply would change; exit status 2 where anything would")
        apply = orders.add_parser("apply", help="a new revision, which holds from the next run on")
        for one in (export, diff, apply):
            one.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        for one in (diff, apply):
            one.add_argument("file", nargs="?", default="-")
        apply.add_argument("--reason", default="", help="kept with the revision, for example the commit")
        apply.add_argument("--create", action="store_true", help="makes the pipeline where the client has none like it")
        diff.add_argument("--create", action="store_true", help="compares with nothing where there is none like it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            ORDERS[options["order"]](self, options)
        except (BadDocument, TwoPeopleNeeded) as refused:
            raise CommandError(str(refused)) from refused

    def export(self, options: dict[str, Any]) -> None:
        with opened_pipeline(options["pipeline"]) as pipeline:
            digest = changing.base_digest(pipeline.settings.recipe.base)
            self.stdout.write(document.write(pipeline, digest), ending="")

    def diff(self, options: dict[str, Any]) -> None:
        asked = _read(options)
        if options["create"] and _created(options["pipeline"], asked, keeps=False):
            found = changed({}, asked.settings.model_dump(mode="json"))
        else:
            with opened_pipeline(options["pipeline"]) as pipeline:
                changing.refuse_other_name(pipeline, asked.name)
                changing.refuse(pipeline, asked.settings, timezone.now())
                found = changing.changes(pipeline, asked.settings)
        self._say(found)
        if found:
            sys.exit(DIFFERS)
        self.stdout.write(_("Nothing differs."))

    def apply(self, options: dict[str, Any]) -> None:
        asked = _read(options)
        if options["create"] and _created(options["pipeline"], asked):
            self.stdout.write(_("%(target)s is made.") % {"target": options["pipeline"]})
        with opened_pipeline(options["pipeline"]) as pipeline:
            changing.refuse_other_name(pipeline, asked.name)
            before, found = pipeline.revision, changing.changes(pipeline, asked.settings)
            after = changing.apply(pipeline, asked.settings, operator(), options["reason"], timezone.now())
        self._say(found)
        if before is not None and after.pk == before.pk:
            self.stdout.write(_("Nothing differs from r%(number)s.") % {"number": after.number})
        else:
            self.stdout.write(_("Revision r%(number)s holds from the next run on.") % {"number": after.number})

    def _say(self, found: list[changing.Change]) -> None:
        for path, old, new in found:
            self.stdout.write(f"{path}: {json.dumps(old)} -> {json.dumps(new)}")


ORDERS = {"export": Command.export, "diff": Command.diff, "apply": Command.apply}


def _created(target: str, asked: Document, keeps: bool = True) -> bool:
    """Whether the client had none like it. Without `keeps` it is made only to see that it can be."""
    client_slug, _slash, slug = target.partition("/")
    with opened_client(client_slug) as client:
        if Pipeline.objects.filter(client=client, slug=slug).exists():
            return False
        now, body = timezone.now(), asked.settings.model_dump(mode="json")
        with transaction.atomic():  # What cannot work leaves no pipeline behind.
            try:
                made = create_pipeline(client, asked.name or slug, slug, body, operator(), now)
            except ValidationError as error:
                raise CommandError("; ".join(one["msg"] for one in error.errors())) from error
            changing.refuse(made, asked.settings, now)
            transaction.set_rollback(not keeps)
    return True


def _read(options: dict[str, Any]) -> Document:
    name, slug = options["file"], options["pipeline"].partition("/")[2]
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CommandError(_("Cannot read settings: %(error)s") % {"error": error}) from error
    asked = document.read(text)
    if asked.pipeline != slug:
        words = {"there": asked.pipeline, "asked": slug}
        raise BadDocument(_("The file is of pipeline %(there)s, not of %(asked)s.") % words)
    changing.refuse_other_base(asked.settings.recipe.base, asked.base_digest)
    return asked
