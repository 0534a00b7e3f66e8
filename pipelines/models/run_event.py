"""What happened to a run, append-only."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from pipelines.models.run import Run
from tenants.models.owned import ClientOwned

AGAIN = ("running", "waiting")


class RunEvent(ClientOwned):
    """(seq, stage, from, to, reason).

    A repeated wait for the same thing is one event: the same run gives the same list on every engine.
    """

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    stage = models.CharField(max_length=12)
    from_status = models.CharField(max_length=12)
    to_status = models.CharField(max_length=12)
    reason = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("seq",)
        constraints = (models.UniqueConstraint(fields=("run", "seq"), name="event_seq_per_run"),)

    def __str__(self) -> str:
        return f"{self.seq} {self.stage} {self.from_status} -> {self.to_status}"

    @classmethod
    def record(cls, run: Run, stage: str, old: str, to: str, reason: str, at: datetime) -> None:
        last = run.last_event or cls.objects.filter(run=run).order_by("-seq").first()
        run.last_event = last
        if to == "running" and last is not None and last.stage == stage and last.to_status in AGAIN:
            return  # Taking a stage up again is not news; what it then answers is.
        if last is not None and (last.stage, last.to_status, last.reason) == (stage, to, reason):
            return
        before = last.to_status if last else old
        seq = last.seq + 1 if last else 1
        fields = {"stage": stage, "from_status": before, "to_status": to, "reason": reason, "at": at}
        run.last_event = cls.of(run, run=run, seq=seq, **fields)
        run.last_event.save()
