"""The ticker: every second it wakes what is due. It decides nothing itself and holds no state that matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.engine import dispatch
from pipelines.models import Job, PipelineState
from pipelines.shipping.back.drills import begin_if_due
from pipelines.triggers import consider
from tenants import crossing, scope

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=5)
Send = Callable[[int, int], None]
# All ids are read: rows that stay due for want of a worker must not hide the others. Only a part is sent at once.
READ_A_TICK = 20_000
SENT_A_TICK = 200


def send_job(client_id: int, job_id: int) -> None:
    with scope.client_scope(client_id):
        queue = Job.objects.filter(pk=job_id).values_list("queue", flat=True).first()
    if queue is not None:
        dispatch.work_job(client_id, job_id, queue)


SENDERS: dict[str, Send] = {
    "due_runs": dispatch.wake_run,
    "due_jobs": send_job,
    "due_triggers": dispatch.look_at_triggers,
    "due_imports": dispatch.read_file,
    "due_hosts": dispatch.look_at_host,
    "due_notices": dispatch.send_notice,
    "due_deliveries": dispatch.send_delivery,
    "due_digests": dispatch.send_digest,  # Of an agency, not of a client.
}


@dataclass(frozen=True)
class Told:
    """When a row that stays due is sent again: all its workers may be busy, so each pause is twice the one before."""

    again_at: datetime
    pause: timedelta


class Ticker:
    """Remembers what it sent while it stays due, so that a slow queue is not flooded with the same wake-up.

    What was not sent yet goes before what is sent again; then every client has its turn, with its oldest first.
    """

    def __init__(self) -> None:
        self.told: dict[str, dict[int, Told]] = {name: {} for name in SENDERS}

    def tick(self, now: datetime) -> int:
        """Sends a wake-up for every due row not just told; returns how many."""
        return sum(self._send_due(name, send, now) for name, send in SENDERS.items())

    def _send_due(self, name: str, send: Send, now: datetime) -> int:
        due = crossing.due(name, now, READ_A_TICK)
        # What is no longer due was done: if it comes up again, that is news.
        told = {row_id: self.told[name][row_id] for _client_id, row_id in due if row_id in self.told[name]}
        self.told[name] = told  # Kept at once: a row that cannot be sent is postponed, and blocks nothing behind it.
        fresh = by_turns([pair for pair in due if pair[1] not in told])
        fresh += by_turns([pair for pair in due if pair[1] in told and told[pair[1]].again_at <= now])
        fresh = fresh[:SENT_A_TICK]
        for client_id, row_id in fresh:
            pause = min(told[row_id].pause * 2, LONGEST_PAUSE) if row_id in told else FIRST_PAUSE
            told[row_id] = Told(now + pause, pause)
            send(client_id, row_id)
        return len(fresh)


def by_turns(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first of every client, then the second of every client: who has a thousand due rows delays nobody."""
    places: Counter[int] = Counter()
    placed = []
    for client_id, row_id in pairs:
        placed.append((places[client_id], (client_id, row_id)))
        places[client_id] += 1
    return [pair for _place, pair in sorted(placed, key=lambda one: one[0])]


def look_at_triggers(state_id: int, now: datetime) -> None:
    """Starts a run of the pipeline if its settings say so, else writes down why not yet; and a drill that is due."""
    state = PipelineState.objects.select_related("pipeline__revision", "client").filter(pk=state_id).first()
    if state is not None and state.due_at is not None and state.due_at <= now:
        consider(state, now)
        begin_if_due(state.pipeline, now)
