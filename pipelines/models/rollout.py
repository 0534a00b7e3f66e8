"""A rollout: one version on its way to all the traffic, and the watch over it afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models

from pipelines.domain.transitions import RolloutStatus, check_move
from pipelines.models.model_version import ModelVersion
from tenants.models.owned import ClientOwned


class Rollout(ClientOwned):
    """`canary` and `monitor` are the judges' own JSON states.

    `frozen` is what was fixed at the start (slow limit, baseline). `stepping` without `step_started_at` is step 0: the
    replay, in which no user meets the version. Paused, it keeps its share; guardrails go on. `frozen["settled"]` is
    added when a person or the hosts have answered for errors on the wire: those before it are not asked about again.
    """

    run = models.OneToOneField("pipelines.Run", on_delete=models.CASCADE, related_name="rollout")
    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="rollouts")
    version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="rollouts")
    previous = models.ForeignKey("pipelines.ModelVersion", on_delete=models.SET_NULL, null=True, related_name="+")
    status = models.CharField(max_length=12, default=RolloutStatus.PLACED)
    step = models.PositiveSmallIntegerField(default=0)
    step_started_at = models.DateTimeField(null=True, blank=True)
    live_at = models.DateTimeField(null=True, blank=True)
    frozen = models.JSONField(default=dict)
    canary = models.JSONField(default=dict)
    monitor = models.JSONField(default=dict)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=200, blank=True)
    pause_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"rollout of {self.version_id}"

    @property
    def beside(self) -> ModelVersion:
        """The version that this one is held against. Raises where a first version has none."""
        if self.previous is None:
            raise ValueError("A first version has nothing beside it.")
        return self.previous

    @property
    def went_live_at(self) -> datetime:
        if self.live_at is None:
            raise ValueError("The rollout has not reached 100 %.")
        return self.live_at

    @property
    def is_on_its_way(self) -> bool:
        """Up to 100 %. What is halted there has all the traffic already."""
        return self.status in (RolloutStatus.STEPPING, RolloutStatus.HALTED) and self.live_at is None

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None

    @property
    def settled_at(self) -> datetime | None:
        """Errors on the wire before this moment have had their answer."""
        at = self.frozen.get("settled", {}).get("at")
        return datetime.fromisoformat(at) if at else None

    @property
    def times_settled(self) -> int:
        return int(self.frozen.get("settled", {}).get("times", 0))

    def settled(self, at: datetime) -> dict[str, Any]:
        """What is frozen, once the errors on the wire before `at` have had their answer."""
        return self.frozen | {"settled": {"at": at.isoformat(), "times": self.times_settled + 1}}

    def move(self, to: RolloutStatus, **changes: Any) -> bool:
        """The one writer of `status`; False when another writer was first."""
        old = RolloutStatus(self.status)
        check_move(old, to)
        changes = {"status": to} | changes
        if not type(self).objects.filter(pk=self.pk, client_id=self.client_id, status=old).update(**changes):
            return False
        for name, value in changes.items():
            setattr(self, name, value)
        return True
