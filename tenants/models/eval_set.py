"""Evaluation sets: what a candidate is judged by. Versioned; their rows can never train."""

from __future__ import annotations

from enum import StrEnum

from django.db import models

from tenants.models.owned import ClientOwned


class EvalKind(StrEnum):
    HELDOUT = "heldout"
    REGRESSION = "regression"
    SAFETY = "safety"
    LATENCY = "latency"  # prompts that are timed; without such a set the held-out ones are


class EvalSet(ClientOwned):
    """One version of one set; a change makes a new version. `digest` covers all its cases."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="eval_sets")
    kind = models.CharField(max_length=12, choices=[(k.value, k.value) for k in EvalKind])
    version = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    note = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("kind", "-version")
        constraints = (
            models.UniqueConstraint(fields=("pipeline", "kind", "version"), name="eval_set_version_per_pipeline"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"


class EvalCase(ClientOwned):
    """One question with what an answer must satisfy. `input_digest` is what the leakage check compares."""

    eval_set = models.ForeignKey("tenants.EvalSet", on_delete=models.CASCADE, related_name="cases")
    key = models.CharField(max_length=100)
    messages = models.JSONField()
    check_name = models.CharField(max_length=30, blank=True)
    expected = models.JSONField(default=dict)
    input_digest = models.CharField(max_length=64, db_index=True)
    origin = models.CharField(max_length=100, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("eval_set", "key"), name="case_key_per_set"),)

    def __str__(self) -> str:
        return self.key

    def as_case(self) -> dict[str, object]:
        """The JSON form that the evaluator reads."""
        return {"id": self.key, "messages": self.messages, "check": self.check_name, "expected": self.expected}

    def as_stored(self) -> dict[str, object]:
        """The form in which a set takes cases, for the next version."""
        return self.as_case() | ({"origin": self.origin} if self.origin else {})
