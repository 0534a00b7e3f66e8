"""App configuration of the shell: hands the room below what it may not import."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings


class AgencyConfig(AppConfig):
    name = "agency"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from agency import checks  # noqa: F401  (system checks register themselves on import)
        from agency.accounts.noting import listen
        from agency.mail.channels.events import describe
        from agency.mail.compose import compose
        from agency.mail.digest import compose_digest
        from agency.telemetry.traces import switch_on
        from pipelines import outbox
        from pipelines.outbox import deliveries, digests

        outbox.register_composer(compose)
        deliveries.register_describer(describe)
        digests.register_digester(compose_digest)
        listen()
        if settings.OTLP_URL:
            switch_on(settings.OTLP_URL, "retune")
