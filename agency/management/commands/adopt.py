"""`manage.py adopt CLIENT/PIPELINE HOST MODEL`: a model that runs on a host becomes v0."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_pipeline, operator
from pipelines.actions import ActionRefused
from pipelines.actions import hosts as acts
from tenants.models import Host


class Command(BaseCommand):
    help = "Makes a model that runs on a host v0 of an empty pipeline. Its bytes stay there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        parser.add_argument("host", metavar="HOST")
        parser.add_argument("model", metavar="MODEL", help="as `ollama list` on the host names it")
        parser.add_argument("--reason", required=True, help="kept in the ledger")

    def handle(self, *args: Any, **options: Any) -> None:
        with opened_pipeline(options["pipeline"]) as pipeline:
            host = Host.objects.filter(client_id=pipeline.client_id, name=options["host"]).first()
            if host is None:
                raise CommandError(_("There is no host %(name)s.") % {"name": options["host"]})
            given = {"actor": operator(), "reason": options["reason"], "now": timezone.now()}
            try:
                acts.adopt(pipeline, host, options["model"], **given)
            except ActionRefused as refused:
                raise CommandError(str(refused)) from refused
        for sentence in acts.IMPOSSIBLE:
            self.stderr.write(f"- {sentence}")
        self.stdout.write(_("%(model)s is v0 of %(name)s now.") % {"model": options["model"], "name": pipeline.name})
