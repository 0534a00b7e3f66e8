"""What a person preferred, without knowing whose answer it was."""

from __future__ import annotations

from enum import StrEnum

from django.db import models

from tenants.models.owned import ClientOwned


class Choice(StrEnum):
    CANDIDATE = "candidate"
    PRODUCTION = "production"
    SAME = "same"


class BlindVote(ClientOwned):
    """One voter, one case, once: looking at a result must not lead to voting again."""

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="votes")
    case_key = models.CharField(max_length=100)
    voter = models.CharField(max_length=200)
    choice = models.CharField(max_length=10, choices=[(c.value, c.value) for c in Choice])
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("run", "case_key", "voter"), name="one_vote_per_case"),)

    def __str__(self) -> str:
        return f"{self.voter} {self.case_key}"
