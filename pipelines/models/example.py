"""Training examples and their near-duplicate signatures."""

from __future__ import annotations

from enum import StrEnum

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class ExampleState(StrEnum):
    READY = "ready"  # may train; "new" while no dataset holds it
    QUARANTINED = "quarantined"  # a rule was broken; a person decides
    DUPLICATE = "duplicate"  # same canonical content as another row
    LEFT_OUT = "left_out"  # quality below the client's limit
    PARKED = "parked"  # of a stopped, rejected or rolled-back run
    REVIEW = "review"  # of a source of low trust, or unlike every category: a person looks first
    EVALUATION = "evaluation"  # held out: a case of an evaluation set
    WITHDRAWN = "withdrawn"  # with its upload or its source; `before` is what it was
    DISCARDED = "discarded"  # by a person


RELEASED = "released"  # The rule of a row that a person let through: only leakage and an exact twin keep it out.


class Example(ClientOwned):
    """One row as it arrived (`line` in its batch); only a person changes it, and RowChange keeps what it was.

    `dataset` is the first dataset version that holds it. `words` and `language` are of what is said, `signature` the
    version of its stored signature (0: none).
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
    before = models.CharField(max_length=12, blank=True)
    rule = models.CharField(max_length=40, blank=True)
    pointer = models.CharField(max_length=200, blank=True)
    detail = models.TextField(blank=True)
    words = models.PositiveIntegerField(default=0)
    language = models.CharField(max_length=8, blank=True)
    signature = models.PositiveSmallIntegerField(default=0)
    twin = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    dataset = models.ForeignKey("pipelines.DatasetVersion", on_delete=models.SET_NULL, null=True, related_name="+")
    judged_in = models.ForeignKey("pipelines.Run", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("batch", "line"), name="line_once_per_batch"),
            # A trigger beside it (tenants/postgresql/belts.py) compares with every case of the pipeline's sets.
            models.CheckConstraint(
                name="evaluation_never_trains", condition=~Q(state="evaluation") | Q(dataset__isnull=True)
            ),
        )
        indexes = (
            models.Index(fields=("pipeline", "state", "dataset"), name="example_state"),
            models.Index(fields=("pipeline", "content_digest"), name="example_content"),
            models.Index(fields=("pipeline", "input_digest"), name="example_input"),
            models.Index(fields=("pipeline", "state", "signature"), name="example_signature"),
            models.Index(fields=("pipeline",), condition=models.Q(state="quarantined"), name="example_waits"),
        )

    def __str__(self) -> str:
        return f"line {self.line}"


class SignatureBlock(ClientOwned):
    """Signatures of rows that were signed together, packed: compared as arrays, a few bytes a row and no index.

    Only grows: what a row that is gone or signed anew leaves behind proposes pairs that are then not verified. The
    blobs are little-endian 64-bit numbers: `ids` of the examples; `contents` and `inputs` by band, then by row, 0 for a
    text without words. `version` is that of the hashes.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="+")
    version = models.PositiveSmallIntegerField()
    ids = models.BinaryField()
    contents = models.BinaryField()
    inputs = models.BinaryField()

    class Meta(ClientOwned.Meta):
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{len(self.ids) // 8} rows"
