"""`manage.py setup_postgresql`: the two roles and the database, from a superuser's address."""

from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from agency import env
from tenants.postgresql.roles import Login, RoleMismatch, prepare


class Command(BaseCommand):
    help = "Makes the owner and the app role of DATABASE_OWNER_URL and DATABASE_URL, and their database."
    requires_system_checks = ()  # They would ask a database that is not there yet.

    def handle(self, *args: Any, **options: Any) -> None:
        admin, owner, app = (_required(name) for name in ("DATABASE_ADMIN_URL", "DATABASE_OWNER_URL", "DATABASE_URL"))
        try:
            lines = prepare(admin, Login.of(owner), Login.of(app))
        except (RoleMismatch, psycopg.Error) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("\n".join(lines))


def _required(name: str) -> str:
    if value := env.text(name):
        return value
    raise CommandError(_("%(name)s (or %(name)s_FILE) is not set.") % {"name": name})
