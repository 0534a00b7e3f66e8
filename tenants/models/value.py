"""What the work is worth to an agency, by its own figures; and what it charged a client for a month."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import models
from django.db.models import Q

from tenants.models.owned import AgencyOwned, ClientOwned
from tenants.scope import ScopeError

# Minutes that a person would sit at each step; an agency writes its own.
MINUTES: dict[str, int] = {
    "validate": 60, "finetune": 60, "evaluate": 60, "compare": 30, "deploy": 45, "monitor": 60, "rollback": 60,
}  # fmt: skip
# What a client is charged: for a month, for each run and promotion, for an hour of each kind of work, and for answers.
PRICES: dict[str, str] = {
    "month": "0", "run": "0", "promotion": "0", "train_hour": "0", "evaluate_hour": "0", "ship_hour": "0",
    "thousand_answers": "0",
}  # fmt: skip
SHOWABLE = ("runs", "promoted", "blocked", "rolled_back", "hours_saved", "compute_hours", "cost")


class ValueTerms(AgencyOwned):
    """One per agency. `prices` are decimals as text. `shown`: figures that clients' reports show."""

    minutes = models.JSONField(default=dict)
    prices = models.JSONField(default=dict)
    currency = models.CharField(max_length=3, default="EUR")
    shown = models.JSONField(default=list)
    updated_at = models.DateTimeField()

    class Meta(AgencyOwned.Meta):
        constraints = (models.UniqueConstraint(fields=("agency",), name="value_terms_once"),)

    def __str__(self) -> str:
        return f"terms in {self.currency}"

    def minutes_of(self, step: str) -> int:
        return int(self.minutes.get(step, MINUTES[step]))


class UsageIssue(ClientOwned):
    """A client's usage of a month as it was charged. Never changed: a correction is the next number.

    `lines`: [{"line", "quantity", "unit", "price", "amount"}], decimals as text; `month` as 2026-11.
    """

    month = models.CharField(max_length=7)
    number = models.PositiveSmallIntegerField()
    lines = models.JSONField()
    total = models.DecimalField(max_digits=14, decimal_places=2)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=500, blank=True)
    digest = models.CharField(max_length=64)
    issued_by = models.CharField(max_length=200)
    issued_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("-month", "-number")
        constraints = (models.UniqueConstraint(fields=("client", "month", "number"), name="usage_issue_number"),)

    def __str__(self) -> str:
        return f"{self.month} no. {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise ScopeError("Issued usage is immutable: issue a correction.")
        body = [self.client_id, self.month, self.number, self.lines, str(self.total), self.currency]
        self.digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        super().save(*args, **kwargs)


class CapKind(models.TextChoices):
    """What may be bounded: live runs, pipelines, bytes kept; and for a month (UTC) cents of compute and tokens."""

    RUNS = "runs"
    PIPELINES = "pipelines"
    BYTES = "bytes"
    SPEND = "spend"
    TOKENS = "tokens"


class Cap(AgencyOwned):
    """How much of something one client may use, or (`client` empty) the whole agency. No row: as much as there is.

    Whoever adds to what is capped locks the row until it is added: two at once cannot pass it together.
    """

    client = models.ForeignKey("tenants.Client", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=10, choices=CapKind)
    most = models.PositiveBigIntegerField()

    class Meta(AgencyOwned.Meta):
        constraints = (
            models.UniqueConstraint(fields=("client", "kind"), name="cap_once_per_client"),
            models.UniqueConstraint(fields=("agency", "kind"), name="cap_once", condition=Q(client__isnull=True)),
        )

    def __str__(self) -> str:
        return f"at most {self.most} {self.kind}"
