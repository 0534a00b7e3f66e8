"""Training examples and their near-duplicate signatures."""

from __future__ import annotations

from enum import StrEnum

from django.db import models

from tenants.models.owned import ClientOwned


class ExampleState(StrEnum):
    READY = "ready"  # may train; "new" while no dataset holds it
    QUARANTINED = "quarantined"  # a rule was broken; a person decides
    DUPLICATE = "duplicate"  # same canonical content as another row
    LEFT_OUT = "left_out"  # quality below the client's limit
    PARKED = "parked"  # of a stopped, rejected or rolled-back run
    DISCARDED = "discarded"  # by a person


class Example(ClientOwned):
    """One row as it arrived (`line` in its batch), never repaired.

    `dataset` is the first dataset version that holds it.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="examples")
    batch = models.ForeignKey("pipelines.Batch", on_delete=models.CASCADE, related_name="examples")
    line = models.PositiveIntegerField()
    raw = models.TextField(blank=True)
    messages = models.JSONField(default=list)
    label = models.CharField(max_length=200, blank=True)
    content_digest = models.CharField(max_length=64, blank=True)
    input_digest = models.CharField(max_length=64, blank=True)
    state = models.CharField(
        max_length=12, default=ExampleState.READY, choices=[(s.value, s.value) for s in ExampleState]
    )
    rule = models.CharField(max_length=40, blank=True)
    pointer = models.CharField(max_length=200, blank=True)
    detail = models.TextField(blank=True)
    twin = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    dataset = models.ForeignKey("pipelines.DatasetVersion", on_delete=models.SET_NULL, null=True, related_name="+")
    judged_in = models.ForeignKey("pipelines.Run", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("batch", "line"), name="line_once_per_batch"),)
        indexes = (
            models.Index(fields=("pipeline", "state", "dataset"), name="example_state"),
            models.Index(fields=("pipeline", "content_digest"), name="example_content"),
            models.Index(fields=("pipeline", "input_digest"), name="example_input"),
        )

    def __str__(self) -> str:
        return f"line {self.line}"


class ExampleBand(ClientOwned):
    """One MinHash band of an example: candidates of a near duplicate are found by equality, then verified."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="+")
    example = models.ForeignKey("pipelines.Example", on_delete=models.CASCADE, related_name="bands")
    band = models.PositiveSmallIntegerField()
    hash = models.BigIntegerField()
    signature_version = models.CharField(max_length=40)

    class Meta(ClientOwned.Meta):
        indexes = (models.Index(fields=("pipeline", "band", "hash"), name="band_lookup"),)

    def __str__(self) -> str:
        return f"{self.band}:{self.hash}"
