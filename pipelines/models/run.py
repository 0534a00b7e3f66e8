"""A run: one attempt to bring a pipeline's model to its next version."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

from pipelines.domain.change.again import walked
from pipelines.domain.transitions import LIVE_RUNS, RunStatus, check_move
from tenants.models.owned import ClientOwned

if TYPE_CHECKING:
    from pipelines.models.run_event import RunEvent

LIVE = sorted(LIVE_RUNS)
NEEDY = ("failed", "held", "rejected")
# What a run needs no more because of its kind: a prompt run brings the weights of a version that there is, an import
# those that were trained elsewhere.
LEFT_OUT = {"prompt": ("validate", "finetune"), "import": ("validate",)}


class Run(ClientOwned):
    """The row is the truth; a queue message is only a wake-up.

    `version` fences writers: whoever claims raises it, and a settle that comes with an older number changes nothing.
    `due_at` is when the ticker looks at the row: at once (queued), at the latest hour (waiting), at the lease's end
    (running), when the guardrails of a version in traffic are asked (held).
    `pokes` counts wake-ups that arrived while the row was claimed, so that none is lost.
    `approvals`: stage -> who said go on, why and when, and what they were `asked`: the words that held the run.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="runs")
    revision = models.ForeignKey("tenants.SettingsRevision", on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=12, default=RunStatus.QUEUED, choices=[(s.value, s.value) for s in RunStatus])
    stage = models.CharField(max_length=12, default="trigger")
    version = models.PositiveIntegerField(default=0)
    pokes = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    retries = models.PositiveSmallIntegerField(default=0)
    occasion = models.JSONField(default=dict)
    verdict = models.CharField(max_length=20, blank=True)
    reason = models.TextField(blank=True)
    approvals = models.JSONField(default=dict)
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    # Known once this object has moved: whoever else moves the row makes this object's next move fail.
    last_event: RunEvent | None = None

    class Meta(ClientOwned.Meta):
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(fields=("pipeline", "number"), name="run_number_per_pipeline"),
            models.UniqueConstraint(
                fields=("pipeline",), condition=Q(status__in=LIVE), name="one_live_run_per_pipeline"
            ),
            models.CheckConstraint(name="final_run_is_not_due", condition=Q(status__in=LIVE) | Q(due_at__isnull=True)),
        )
        indexes = (
            models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="run_due"),
            models.Index(fields=("finished_at",), name="run_finished"),
            # The overview: whose latest run needs a person, out of a year's runs of all pipelines.
            models.Index(fields=("agency",), condition=Q(status__in=NEEDY), name="run_needs"),
        )

    def __str__(self) -> str:
        return f"run {self.number}"

    @property
    def path(self) -> tuple[str, ...]:
        """The stages that this run walks through: those of its settings, less what its kind or its begin leaves out."""
        left_out = LEFT_OUT.get(self.occasion.get("kind", ""), ())
        path = tuple(stage for stage in self.revision.settings.stages if stage not in left_out)
        return walked(self.occasion["from"], path) if "from" in self.occasion else path

    @property
    def is_import(self) -> bool:
        """Whether somebody brought the model: `occasion["bundle"]` tells which file."""
        return self.occasion.get("kind") == "import"

    @property
    def is_live(self) -> bool:
        return self.status in LIVE_RUNS

    def is_answered(self, question: str, since: datetime | None = None) -> bool:
        """Whether a person approved this very question at this stage. One about something else answers nothing."""
        given = self.approvals.get(self.stage, [])
        fresh = [entry for entry in given if since is None or datetime.fromisoformat(entry["at"]) > since]
        return any(question in entry.get("asked", "") for entry in fresh)

    def move(self, to: RunStatus, reason: str, at: datetime, **changes: Any) -> bool:
        """The one writer of `status`: fenced, checked against the table, its event in the caller's transaction.

        Returns False when another writer was first; the row is then unchanged.
        """
        from pipelines.models.run_event import RunEvent

        old = RunStatus(self.status)
        check_move(old, to)
        changes = {"status": to, "reason": reason, "version": self.version + 1} | changes
        if to not in LIVE_RUNS:
            changes |= {"finished_at": at, "due_at": None}
        if (
            not type(self)
            .objects.filter(pk=self.pk, client_id=self.client_id, status=old, version=self.version)
            .update(**changes)
        ):
            return False
        stage = self.stage
        for name, value in changes.items():
            setattr(self, name, value)
        RunEvent.record(self, stage, old, to, reason, at)
        return True
