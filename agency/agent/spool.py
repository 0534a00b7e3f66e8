"""Records of the meter on disk until headquarters has them: nothing is lost by a restart, nothing counts twice."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from agency.gateway.meter.judge import Record
from pipelines.worker.link import Link, Refused, Stopped, Unknown

log = logging.getLogger("retune-agent")

SEND_S, AGAIN_S = 1.0, 15.0
UNREADABLE = (400, 413, 422)
BATCH, BATCH_BYTES = 500, 2**20
# Some weeks of a busy host without bodies; the oldest go first, counted.
MOST_BYTES = 2**30
JSON = {"Content-Type": "application/json"}
# As headquarters knows them already: whose they are is decided by the token.
OURS = ("client_id", "agency_id", "host")


@dataclass
class Spool:
    """A file for each write of the meter, in order of time by name; removed when headquarters has taken it."""

    link: Link
    folder: Path
    most_bytes: int = MOST_BYTES
    dropped: int = 0
    waiting: int = 0
    ending: threading.Event = field(default_factory=threading.Event)
    _written: int = 0

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.waiting = sum(_count(place) for place in self.files())
        threading.Thread(target=self._run, name="agent-spool", daemon=True).start()

    def files(self) -> list[Path]:
        """The oldest first."""
        return sorted(self.folder.glob("*.json"))

    def write(self, client_id: int, records: Sequence[Record]) -> None:
        """As the meter writes; on the disk when it returns. Raises OSError."""
        self._written += 1
        name = f"{time.time_ns():020d}-{self._written % 1000:03d}-{len(records)}"
        place = self.folder / f"{name}.json"
        draft = place.with_suffix(".tmp")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(orjson.dumps(list(records)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(place)
        self.waiting += len(records)

    def _run(self) -> None:
        while not self.ending.wait(SEND_S):
            try:
                self.send()
            except Stopped:
                return
            except (Unknown, Refused) as wrong:
                log.warning("Records are kept: %s", wrong)
                self.ending.wait(AGAIN_S)
            except OSError as error:
                log.warning("The spool cannot be read: %s", error.strerror)

    def send(self) -> None:
        """Everything there is, the oldest first. Raises Unknown, Refused, Stopped."""
        self._drop_oldest()
        for place in self.files():
            refused = sum(self._told(batch) for batch in batches(_read(place)))
            if refused:
                log.warning("%s records were refused.", refused)
                self.dropped += refused
            self._remove(place)

    def _told(self, batch: list[bytes]) -> int:
        """How many headquarters refused. What it cannot read at all must not hold back the others."""
        body = b'{"records":[' + b",".join(batch) + b"]}"
        try:
            answer = self.link.ask("POST", self.link.machine("records"), self._is_over, body, JSON)
        except Refused as refused:
            if refused.status not in UNREADABLE:
                raise
            return len(batch)
        return int(answer.json()["refused"])

    def _is_over(self) -> bool:
        """Asked between two attempts: meanwhile the disk must not fill."""
        self._drop_oldest()
        return self.ending.is_set()

    def _drop_oldest(self) -> None:
        places = self.files()
        size = sum(place.stat().st_size for place in places)
        while places and size > self.most_bytes:
            place = places.pop(0)
            size -= place.stat().st_size
            self.dropped += _count(place)
            self._remove(place)
            log.warning("The spool is full: the oldest records are dropped.")

    def _remove(self, place: Path) -> None:
        self.waiting = max(self.waiting - _count(place), 0)
        place.unlink(missing_ok=True)


def batches(records: Iterable[dict[str, object]]) -> Iterator[list[bytes]]:
    """As many at a time as one request takes: with bodies a few, else a meter's whole write."""
    batch: list[bytes] = []
    size = 0
    for record in records:
        written = orjson.dumps({name: value for name, value in record.items() if name not in OURS})
        if batch and (size + len(written) > BATCH_BYTES or len(batch) >= BATCH):
            yield batch
            batch, size = [], 0
        batch.append(written)
        size += len(written)
    if batch:
        yield batch


def _count(place: Path) -> int:
    return int(place.stem.rpartition("-")[2])


def _read(place: Path) -> list[dict[str, object]]:
    """Empty for a file that was dropped meanwhile, or that no meter wrote."""
    try:
        found = orjson.loads(place.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return []
    return found if isinstance(found, list) else []
