"""Django in a process that measures: a folder of its own, and PostgreSQL where that is asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.installation import Installation


def begin_django(var: Path, **environment: str) -> None:
    """With `RETUNE_VAR` at `var`; the engine is q2 unless `environment` names another."""
    os.environ |= {"RETUNE_VAR": str(var), "RETUNE_ENGINE": "q2", "RETUNE_LOG_LEVEL": "ERROR"} | environment
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agency.settings")
    import django

    django.setup()


def dress() -> None:
    """Pages without a web server: their files where they are looked for, and a quick sign-in."""
    from django.conf import settings
    from django.core.management import call_command

    settings.ALLOWED_HOSTS = ["*"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    call_command("collectstatic", verbosity=0, interactive=False)


@contextmanager
def on_postgresql(**environment: str) -> Iterator[tuple[Path, Installation]]:
    """A folder and an installation on a throw-away server, as the app's role: here, and for processes from here."""
    with tempfile.TemporaryDirectory(prefix="retune-bench-") as name:
        begin_django(Path(name), **environment)
        from tests import servers
        from tests.installation import as_default, install

        with servers.postgres_server() as server:
            installation = install(server)
            os.environ |= installation.environment
            with as_default(installation.app_url):
                yield Path(name), installation
