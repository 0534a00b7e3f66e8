"""App configuration of the shell: hands the room below what it may not import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.utils.module_loading import import_string


class AgencyConfig(AppConfig):
    name = "agency"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from agency import checks  # noqa: F401  (system checks register themselves on import)
        from agency.accounts.demands import begin
        from agency.accounts.noting import listen
        from agency.telemetry.traces import switch_on
        from pipelines import outbox
        from pipelines.outbox import deliveries, digests

        outbox.register_composer(later("agency.mail.compose.compose"))
        deliveries.register_describer(later("agency.mail.channels.events.describe"))
        digests.register_digester(later("agency.mail.digest.compose_digest"))
        listen()
        user_logged_in.connect(begin)
        if settings.OTLP_URL:
            switch_on(settings.OTLP_URL, "retune")


def later(path: str) -> Callable[..., Any]:
    """Imported with its first call: mails bring numpy and a style sheet reader along, which no gateway needs."""

    def called(*given: Any, **named: Any) -> Any:
        return import_string(path)(*given, **named)

    return called
