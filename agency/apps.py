"""App configuration of the shell: hands the room below what it may not import."""

from __future__ import annotations

from django.apps import AppConfig


class AgencyConfig(AppConfig):
    name = "agency"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from agency import checks  # noqa: F401  (system checks register themselves on import)
        from agency.accounts.noting import listen
        from agency.mail.compose import compose
        from pipelines import outbox

        outbox.register_composer(compose)
        listen()
