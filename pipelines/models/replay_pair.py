"""One recent prompt, answered again by two versions."""

from __future__ import annotations

from typing import Any

from django.db import models

from tenants.models.owned import ClientOwned


class ReplayPair(ClientOwned):
    """`candidate`, `production`: {text, latency_ms, is_error, is_bad, finished} of each. Gone with the body it replays.

    `asked`: the request of a pair that replays no body. `is_counted`: its evidence is in the judge's state.
    `unique(rollout, phase, prompt_digest)`: each prompt once, so that a job that is taken over goes on where it was.
    """

    rollout = models.ForeignKey("pipelines.Rollout", on_delete=models.CASCADE, related_name="pairs")
    body = models.ForeignKey("pipelines.Body", on_delete=models.CASCADE, null=True, related_name="+")
    asked = models.JSONField(default=dict)
    phase = models.CharField(max_length=8)
    prompt_digest = models.CharField(max_length=64)
    candidate = models.JSONField(default=dict)
    production = models.JSONField(default=dict)
    is_counted = models.BooleanField(default=False)
    at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("rollout", "phase", "prompt_digest"), name="replayed_once"),)

    def __str__(self) -> str:
        return self.prompt_digest[:12]

    @property
    def is_changed(self) -> bool:
        """Whether the two answers differ in more than white space."""
        return _words(self.candidate) != _words(self.production)


def _words(answer: dict[str, Any]) -> list[str]:
    return str(answer.get("text", "")).split()
