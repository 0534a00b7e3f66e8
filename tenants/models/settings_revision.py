"""Immutable revisions of a pipeline's settings."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import models

from tenants.models.owned import ClientOwned
from tenants.pipeline_settings import STORED, PipelineSettings
from tenants.scope import ScopeError


class SettingsRevision(ClientOwned):
    """Written once: a run pins one, so what it was judged by can always be read again."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    body = models.JSONField()
    digest = models.CharField(max_length=64)
    author = models.CharField(max_length=200)
    reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    _read: tuple[dict[str, Any], PipelineSettings] | None = None

    class Meta(ClientOwned.Meta):
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("pipeline", "number"), name="revision_number_per_pipeline"),)

    def __str__(self) -> str:
        return f"r{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise ScopeError("A settings revision is immutable: write a new one.")
        self.digest = digest_of(self.body)
        super().save(*args, **kwargs)

    @property
    def settings(self) -> PipelineSettings:
        """Checked once for a body: a run's stages, triggers and notices ask for them again and again."""
        if self._read is None or self._read[0] is not self.body:
            self._read = self.body, PipelineSettings.model_validate(self.body, context=STORED)
        return self._read[1]

    def changes_from(self, other: SettingsRevision | None) -> list[tuple[str, Any, Any]]:
        return changed(other.body if other else {}, self.body)


def digest_of(body: Any) -> str:
    """SHA-256 of a body of settings, as JSON with its keys in order."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(dotted path, before, after) of each value that differs."""
    old, new = flatten(before) if before else {}, flatten(after)
    return [(p, old.get(p), new.get(p)) for p in sorted(old.keys() | new.keys()) if old.get(p) != new.get(p)]


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Nested dicts and lists as {dotted path: leaf}."""
    match value:
        case dict() if value:
            pairs = [(str(k), v) for k, v in value.items()]
        case list() if value:
            pairs = [(str(i), v) for i, v in enumerate(value)]
        case _:
            return {path: value}
    found: dict[str, Any] = {}
    for key, item in pairs:
        found |= flatten(item, f"{path}.{key}" if path else key)
    return found
