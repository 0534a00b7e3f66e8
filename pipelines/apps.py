"""App configuration of the work."""

import os
from typing import Any

from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    name = "pipelines"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.conf import settings
        from django.db.models.signals import post_migrate, post_save, pre_migrate

        from pipelines import metrics
        from tenants.postgresql.belts import fasten_examples, loosen_examples

        post_save.connect(look_at_pipeline, sender="tenants.Pipeline", dispatch_uid="look_at_pipeline")
        pre_migrate.connect(loosen_examples, sender=self)
        post_migrate.connect(fasten_examples, sender=self)

        metrics.register(settings.OWN_METRICS)
        # Child processes get an allow-listed environment; where the converter lies is on that list.
        os.environ.setdefault("RETUNE_CONVERTER_DIR", settings.CONVERTER_DIR)


def look_at_pipeline(**sent: Any) -> None:
    """The triggers bring numpy along, and a gateway never needs them: they are imported with the first change."""
    from pipelines.triggers import look_at_pipeline as look

    look(**sent)
