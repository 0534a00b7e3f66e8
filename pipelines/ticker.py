"""The ticker: every second it wakes what is due. It decides nothing itself and holds no state that matters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pipelines.engine import dispatch
from pipelines.models import Job, PipelineState
from pipelines.triggers import consider
from tenants import crossing, scope

RESEND_S = 15.0
Send = Callable[[int, int], None]


def send_job(client_id: int, job_id: int) -> None:
    with scope.client_scope(client_id):
        queue = Job.objects.filter(pk=job_id).values_list("queue", flat=True).first()
    if queue is not None:
        dispatch.work_job(client_id, job_id, queue)


SENDERS: dict[str, Send] = {
    "due_runs": dispatch.wake_run,
    "due_jobs": send_job,
    "due_triggers": dispatch.look_at_triggers,
    "due_notices": dispatch.send_notice,
}


class Ticker:
    """Remembers for some seconds what it sent, so that a slow queue is not flooded with the same wake-up."""

    def __init__(self, limit: int = 200) -> None:
        self.limit = limit
        self.sent: dict[tuple[str, int], datetime] = {}

    def tick(self, now: datetime) -> int:
        """Sends a wake-up for every due row not yet told; returns how many."""
        self.sent = {key: at for key, at in self.sent.items() if (now - at).total_seconds() < RESEND_S}
        return sum(self._send_due(name, send, now) for name, send in SENDERS.items())

    def _send_due(self, name: str, send: Send, now: datetime) -> int:
        fresh = [pair for pair in crossing.due(name, now, self.limit) if (name, pair[1]) not in self.sent]
        for client_id, row_id in fresh:
            self.sent[name, row_id] = now
            send(client_id, row_id)
        return len(fresh)


def look_at_triggers(state_id: int, now: datetime) -> None:
    """Starts a run of the pipeline if its settings say so, else writes down why not yet."""
    state = PipelineState.objects.select_related("pipeline__revision", "client").filter(pk=state_id).first()
    if state is not None and state.due_at is not None and state.due_at <= now:
        consider(state, now)
