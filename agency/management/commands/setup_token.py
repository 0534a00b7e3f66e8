"""`manage.py setup_token`: the token of the first visit, for whoever runs the server."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from agency.embedded.setup_token import invitation


class Command(BaseCommand):
    help = "Prints the address and token of the first visit while the installation has no agency."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(invitation(settings.BASE_URL) or _("The installation has its agency: sign-up is closed."))
