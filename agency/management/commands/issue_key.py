"""`manage.py issue_key CLIENT NAME VERB...`: a key for a program, shown once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_client, operator
from tenants.access import KEY_VERBS
from tenants.actions import issue_key
from tenants.models import ApiKey

NAME_CHARS = ApiKey._meta.get_field("name").max_length or 0
MOST = 2**31 - 1  # What the columns hold on PostgreSQL.


class Command(BaseCommand):
    help = "Issues an API key of one client. Its text is printed once and kept nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("client", metavar="CLIENT")
        parser.add_argument("name", help="who will use it")
        parser.add_argument("--requests-per-minute", type=int, help="of questions to models, per gateway process")
        parser.add_argument("--tokens-per-minute", type=int, help="asked and answered, per gateway process")
        parser.add_argument("verbs", nargs="+", choices=sorted(KEY_VERBS), metavar="VERB", help=", ".join(KEY_VERBS))

    def handle(self, *args: Any, **options: Any) -> None:
        limits = {name: options[name] for name in ("requests_per_minute", "tokens_per_minute")}
        if any(value is not None and not 1 <= value <= MOST for value in limits.values()):
            raise CommandError(_("A limit is a number from 1 to %(most)s.") % {"most": MOST})
        if not 1 <= len(options["name"]) <= NAME_CHARS:
            raise CommandError(_("A name has 1 to %(most)s characters.") % {"most": NAME_CHARS})
        with opened_client(options["client"]) as client:
            _key, text = issue_key(client, options["name"], options["verbs"], operator(), timezone.now(), **limits)
        self.stderr.write(_("Keep it now: it is not shown again."))
        self.stdout.write(text)
