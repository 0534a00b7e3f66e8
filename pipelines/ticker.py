"""The ticker: every second it wakes what is due. It decides nothing itself and holds no state that matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.engine import dispatch
from pipelines.engine.jobs import HEAVY
from pipelines.models import PipelineState
from pipelines.shipping.back.drills import begin_if_due
from pipelines.triggers import consider
from tenants import crossing

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=5)
Send = Callable[..., None]
# All ids are read: rows that stay due for want of a worker must not hide the others. Only a part is sent at once.
READ_A_TICK = 20_000
SENT_A_TICK = 200
# A job's wake-up says that its queue has work, so of those that wait in a long line few need be sent again.
AGAIN_AT_LEAST = 20


def send_job(client_id: int, job_id: int, place: int) -> None:
    dispatch.work_job(client_id, job_id, _queue(place))


def _queue(place: int) -> str:
    return (*crossing.QUEUES, "default")[place]


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
    """When a row that stays due is sent again: all its workers may be busy, so each pause is twice the one before.

    `place`: of its queue, where it is a job.
    """

    again_at: datetime
    pause: timedelta
    place: int | None = None


@dataclass
class Room:
    """How many wake-ups of a queue are sent again in five minutes: twice as many jobs as workers took in the last five.

    Where none is lost, a job is sent about twice, however long the line; where all are, the workers have the rest of it
    after a few rounds.
    """

    begun_at: datetime
    most: int = AGAIN_AT_LEAST
    sent: int = 0
    taken: int = 0

    def at(self, now: datetime) -> Room:
        if now - self.begun_at < LONGEST_PAUSE:
            return self
        return Room(now, max(AGAIN_AT_LEAST, 2 * self.taken))


class Ticker:
    """Remembers what it sent while it stays due, so that a slow queue is not flooded with the same wake-up.

    What was not sent yet goes before what is sent again; then every client has its turn, with its oldest first.
    """

    def __init__(self) -> None:
        self.told: dict[str, dict[int, Told]] = {name: {} for name in SENDERS}
        self.rooms: dict[int, Room] = {}

    def tick(self, now: datetime) -> int:
        """Sends a wake-up for every due row not just told; returns how many."""
        return sum(self._send_due(name, send, now) for name, send in SENDERS.items())

    def _send_due(self, name: str, send: Send, now: datetime) -> int:
        due, before = crossing.due(name, now, READ_A_TICK), self.told[name]
        # What is no longer due was done: if it comes up again, that is news.
        told = {row[1]: before[row[1]] for row in due if row[1] in before}
        self.told[name] = told  # Kept at once: a row that cannot be sent is postponed, and blocks nothing behind it.
        self._make_room([one.place for pk, one in before.items() if pk not in told], now)
        fresh = by_turns([row for row in due if row[1] not in told])
        again = by_turns([row for row in due if row[1] in told and told[row[1]].again_at <= now])
        fresh = (fresh + list(self._within(again)))[:SENT_A_TICK]
        for client_id, row_id, *place in fresh:
            pause = min(told[row_id].pause * 2, LONGEST_PAUSE) if row_id in told else FIRST_PAUSE
            if row_id in told and place and place[0] in self.rooms:
                self.rooms[place[0]].sent += 1
            told[row_id] = Told(now + pause, pause, *place)
            send(client_id, row_id, *place)
        return len(fresh)

    def _make_room(self, gone: list[int | None], now: datetime) -> None:
        """`gone`: queues of jobs that were taken. What goes to hosts is not bounded: a rollback waits for nobody."""
        for place, queue in enumerate(crossing.QUEUES):
            if queue in HEAVY:
                room = self.rooms[place] = self.rooms.get(place, Room(now)).at(now)
                room.taken += gone.count(place)

    def _within(self, again: list[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
        """Of each bounded queue as many as there is room for."""
        left = {place: room.most - room.sent for place, room in self.rooms.items()}
        for row in again:
            place = row[2] if len(row) > 2 else None
            if place not in left:
                yield row
            elif left[place] > 0:
                left[place] -= 1
                yield row


def by_turns(rows: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The first of every client, then the second of every client: who has a thousand due rows delays nobody."""
    places: Counter[int] = Counter()
    placed = []
    for row in rows:
        placed.append((places[row[0]], row))
        places[row[0]] += 1
    return [row for _place, row in sorted(placed, key=lambda one: one[0])]


def look_at_triggers(state_id: int, now: datetime) -> None:
    """Starts a run of the pipeline if its settings say so, else writes down why not yet; and a drill that is due."""
    state = PipelineState.objects.select_related("pipeline__revision", "pipeline__client").filter(pk=state_id).first()
    if state is not None and state.due_at is not None and state.due_at <= now:
        consider(state, now)
        begin_if_due(state.pipeline, now)
