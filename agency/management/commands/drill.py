"""`manage.py drill CLIENT/PIPELINE`: rehearses the rollback that would happen now; no traffic moves."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_pipeline, operator
from pipelines.actions import ActionRefused, start_drill
from pipelines.models import Drill

LOOK_S = 0.5


class Command(BaseCommand):
    help = "Rehearses a rollback on every host and in the database, up to the flip. Exit status 1 when it failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        parser.add_argument(
            "--wait-s", type=float, default=120.0, help="how long to wait for the result; 0: not at all"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with opened_pipeline(options["pipeline"]) as pipeline:
            try:
                made = start_drill(pipeline, actor=operator(), now=timezone.now())
            except ActionRefused as refused:
                raise CommandError(str(refused)) from refused
            _wait(made, options["wait_s"])
        for name, said in made.hosts.items():
            self.stdout.write(f"{name}: {said['sentence']}")
        if made.is_passed is None:
            self.stdout.write(_("The drill goes on; its page will show the result."))
        elif made.is_passed:
            self.stdout.write(made.sentence)
        else:
            raise CommandError(made.sentence)


def _wait(made: Drill, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    made.refresh_from_db()
    while made.is_passed is None and time.monotonic() < until:
        time.sleep(LOOK_S)
        made.refresh_from_db()
