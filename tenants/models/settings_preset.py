"""An agency's own starting point for settings, which pipelines can follow."""

from __future__ import annotations

from typing import Any

from django.db import models

from tenants.models.owned import AgencyOwned
from tenants.pipeline_settings import STORED, PipelineSettings


class SettingsPreset(AgencyOwned):
    """`body` is a whole settings body; which of its fields can be followed: tenants.following.fields.

    `version` counts its changes. A pipeline that follows has a revision of its own for each: runs pin that, as ever.
    """

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60)
    version = models.PositiveIntegerField(default=1)
    body = models.JSONField()
    changed_by = models.CharField(max_length=200)
    changed_at = models.DateTimeField()

    class Meta(AgencyOwned.Meta):
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("agency", "slug"), name="preset_slug_per_agency"),)

    def __str__(self) -> str:
        return self.name

    @property
    def settings(self) -> PipelineSettings:
        """The body, read."""
        return PipelineSettings.model_validate(self.body, context=STORED)

    def now_stored(self) -> dict[str, Any]:
        """The body as it would be stored today."""
        return self.settings.model_dump(mode="json")
