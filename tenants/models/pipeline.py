"""A pipeline: one fine-tuned task of a client."""

from __future__ import annotations

from django.db import models

from tenants.models.owned import ClientOwned
from tenants.pipeline_settings import PipelineSettings


class Pipeline(ClientOwned):
    """Its settings are immutable revisions; `revision` is the one that new runs pin.

    `preset` belongs to the agency: only its number can be read inside a client's scope. `own_fields` are the paths in
    which the pipeline does not follow it.
    """

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60)
    is_paused = models.BooleanField(default=False)
    paused_by = models.CharField(max_length=200, blank=True, default="")
    pause_reason = models.CharField(max_length=500, blank=True, default="")
    paused_at = models.DateTimeField(null=True, blank=True)
    revision = models.ForeignKey("tenants.SettingsRevision", on_delete=models.PROTECT, null=True, related_name="+")
    preset = models.ForeignKey(
        "tenants.SettingsPreset", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    own_fields = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("client", "slug"), name="pipeline_slug_per_client"),)

    def __str__(self) -> str:
        return self.name

    @property
    def pause(self) -> str:
        """Who paused it and why, in the ledger's words; empty while it is not paused."""
        return f"paused by {self.paused_by}: {self.pause_reason}" if self.is_paused else ""

    @property
    def settings(self) -> PipelineSettings:
        if self.revision is None:
            raise ValueError(f"Pipeline {self.slug} has no settings yet.")
        return self.revision.settings
