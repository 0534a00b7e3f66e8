"""App configuration of the work."""

import os

from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    name = "pipelines"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.conf import settings

        # Child processes get an allow-listed environment; where the converter lies is on that list.
        os.environ.setdefault("RETUNE_CONVERTER_DIR", settings.CONVERTER_DIR)
