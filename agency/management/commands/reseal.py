"""`manage.py reseal`: after a new secret key, every sealed secret is sealed with it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import operator
from tenants.rotation import reseal


class Command(BaseCommand):
    help = "Seals every secret with RETUNE_SECRET_KEY; RETUNE_SECRET_KEY_FALLBACKS opens the older ones."

    def handle(self, *args: Any, **options: Any) -> None:
        done = reseal(operator(), timezone.now())
        self.stdout.write(_("%(n)s secrets are sealed with the key in use.") % {"n": done.count})
        if done.unreadable:
            raise CommandError("\n".join(done.unreadable))
        self.stdout.write(_("Once no process uses the older keys, take them out of RETUNE_SECRET_KEY_FALLBACKS."))
