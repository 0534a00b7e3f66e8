"""The meter's thread: judges what was seen, writes it twice a second, keeps it while it cannot be written."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from django.db import DataError, IntegrityError, close_old_connections, connections
from django.db import Error as DatabaseFault

from agency.gateway.meter.judge import Record, judge
from agency.gateway.meter.prometheus import Totals
from agency.gateway.meter.sighting import Sighting

log = logging.getLogger(__name__)

FLUSH_S = 0.4
SIGHTINGS_KEPT = 5_000
RECORDS_KEPT = 50_000
BATCH = 500

Write = Callable[[int, Sequence[Record]], None]


class Meter:
    """Guarantees: `put` costs an append; no record counts twice; what does not fit is dropped and counted."""

    def __init__(self, write: Write, flush_s: float = FLUSH_S, kept: int = RECORDS_KEPT) -> None:
        self.flush_s, self.write, self.kept = flush_s, write, kept
        self.dropped = 0
        self.written = 0
        self.is_reachable = True
        self.totals = Totals()
        self._seen: deque[Sighting] = deque()
        self._waiting: deque[Record] = deque()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread; called again, starts it anew if a fault has ended it."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="gateway-meter", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Writes what is left, once. Blocks for as long as that takes, 10 s at most."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def put(self, sighting: Sighting) -> None:
        self._seen.append(sighting)
        # Sightings hold bodies, so they are bounded more tightly than records.
        if len(self._seen) > SIGHTINGS_KEPT:
            self._seen.popleft()
            self.dropped += 1

    @property
    def pending(self) -> int:
        return len(self._seen) + len(self._waiting)

    def _run(self) -> None:
        while not self._stopping.wait(self.flush_s):
            self.flush()
        self.flush()
        connections.close_all()

    def flush(self) -> None:
        """Judges and writes everything there is. A fault of database or disk leaves the rest for the next time."""
        while self._seen:
            self._take(self._seen.popleft())
        self._drop_oldest()
        if not self._waiting:
            return
        try:
            close_old_connections()
            self._write_waiting()
        except (DatabaseFault, OSError) as error:
            connections.close_all()
            if self.is_reachable:
                log.warning("The meter keeps its records, they cannot be written: %s", type(error).__name__)
            self.is_reachable = False
        else:
            self.is_reachable = True

    def _take(self, sighting: Sighting) -> None:
        record = judge(sighting)
        self.totals.add(sighting.entry, record)
        if sighting.spend is not None:
            sighting.spend(record.input_tokens + record.output_tokens)
        self._waiting.append(record)

    def _drop_oldest(self) -> None:
        while len(self._waiting) > self.kept:
            self._waiting.popleft()
            self.dropped += 1

    def _write_waiting(self) -> None:
        """Oldest first. What cannot be written is left in front of the queue."""
        while self._waiting:
            batch = list(itertools.islice(self._waiting, BATCH))
            for client_id in dict.fromkeys(record.client_id for record in batch):
                self._write_client(client_id, [record for record in batch if record.client_id == client_id])
            for _ in batch:
                self._waiting.popleft()

    def _write_client(self, client_id: int, batch: Sequence[Record]) -> None:
        try:
            self.write(client_id, batch)
            self.written += len(batch)
        except (IntegrityError, DataError):
            # One row points to what was erased meanwhile: find it, and let it not hold back the others.
            for record in batch:
                self._write_alone(client_id, record)

    def _write_alone(self, client_id: int, record: Record) -> None:
        try:
            self.write(client_id, [record])
            self.written += 1
        except (IntegrityError, DataError) as error:
            self.dropped += 1
            log.warning("The meter dropped the record of %s: %s", record.request_id, type(error).__name__)
