"""`manage.py doctor`: looks at every part of the installation and says what to do."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agency.health.looks import DOCTOR, look


class Command(BaseCommand):
    help = "Looks at every part of the installation, from the database to the converter, and says what to do."
    requires_system_checks: list[str] = []  # It tells of them itself.

    def handle(self, *args: Any, **options: Any) -> None:
        sick = 0
        for finding in look(DOCTOR):
            self.stdout.write(f"{'ok ' if finding.is_well else 'BAD'}  {finding.name:<11} {finding.says}")
            if not finding.is_well:
                sick += 1
                self.stdout.write(f"     {'':<11} -> {finding.do}")
        if sick:
            raise CommandError(f"{sick} of {len(DOCTOR)} parts are not well.")
