"""Records of the meter on disk until headquarters has them: nothing is lost by a restart, nothing counts twice."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from agency.gateway.meter.judge import Record
from pipelines.worker.link import Link, Refused, Stopped, Unknown

log = logging.getLogger("retune-agent")

SEND_S, AGAIN_S = 1.0, 15.0
UNREADABLE = (400, 413, 422)
BATCH, BATCH_BYTES = 500, 2**20
# A busy gateway writes twice a second for weeks: a file for each write would be millions of files.
SEGMENT_BYTES = 2**20
# Some weeks of a busy host without bodies; the oldest go first, counted.
MOST_BYTES = 2**30
JSON = {"Content-Type": "application/json"}
# As headquarters knows them already: whose they are is decided by the token.
OURS = ("client_id", "agency_id", "host")


@dataclass
class Segment:
    """A file of lines, one record each; only the last one is still written to."""

    place: Path
    records: int = 0
    size_bytes: int = 0


@dataclass
class Spool:
    """Segments in order of their numbers; each is removed when headquarters has taken all of it."""

    link: Link
    folder: Path
    most_bytes: int = MOST_BYTES
    dropped: int = 0
    ending: threading.Event = field(default_factory=threading.Event)
    segments: list[Segment] = field(default_factory=list)
    _open: Segment | None = None
    _number: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def waiting(self) -> int:
        return sum(segment.records for segment in list(self.segments))

    def open(self) -> None:
        """Finds what was left here. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for place in sorted(self.folder.glob("*.jsonl")):
            self.segments.append(Segment(place, sum(1 for _line in place.open("rb")), place.stat().st_size))
            self._number = int(place.stem)

    def start(self) -> None:
        self.open()
        threading.Thread(target=self._run, name="agent-spool", daemon=True).start()

    def write(self, client_id: int, records: Sequence[Record]) -> None:
        """As the meter writes; on the disk when it returns. Raises OSError, and then nothing of it is there."""
        lines = b"".join(orjson.dumps(record) + b"\n" for record in records)
        with self._lock:
            if self._open is None or self._open.size_bytes + len(lines) > SEGMENT_BYTES:
                self._begin()
            assert self._open is not None
            _append(self._open, lines)
            self._open.records += len(records)
            self._drop_oldest()

    def _begin(self) -> None:
        self._number += 1
        self._open = Segment(self.folder / f"{self._number:012d}.jsonl")
        self.segments.append(self._open)

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
            except Exception:
                log.exception("Records are kept")
                self.ending.wait(AGAIN_S)

    def send(self) -> None:
        """Everything there is, the oldest first. Raises Unknown, Refused, Stopped."""
        with self._lock:
            self._open, going = None, list(self.segments)
        for segment in going:
            refused = sum(self._told(batch) for batch in batches(_read(segment.place)))
            if refused:
                log.warning("%s records were refused.", refused)
                self.dropped += refused
            self._remove(segment)

    def _told(self, batch: list[bytes]) -> int:
        """How many headquarters refused. What it cannot read at all must not hold back the others."""

        def body() -> bytes:
            """Its time is that of the attempt: headquarters tells by it how wrong the clock here is."""
            return b'{"sent_at":' + orjson.dumps(now()) + b',"records":[' + b",".join(batch) + b"]}"

        try:
            told = self.link.told("POST", self.link.machine("records"), self.ending.is_set, body, JSON)
        except Refused as refused:
            if refused.status not in UNREADABLE:
                raise
            if refused.is_ours or refused.status != 413:
                return len(batch)
            if len(batch) == 1:
                slim = _without_body(batch[0])
                if slim == batch[0]:
                    raise  # They are kept: a proxy before headquarters said so, and can be told otherwise.
                log.warning("A proxy takes no record of %s bytes: it is sent without its texts.", len(batch[0]))
                return self._told([slim])
            half = len(batch) // 2
            return self._told(batch[:half]) + self._told(batch[half:])
        return int(told["refused"])

    def _drop_oldest(self) -> None:
        size = sum(segment.size_bytes for segment in self.segments)
        while size > self.most_bytes and len(self.segments) > 1:
            oldest = self.segments[0]
            size -= oldest.size_bytes
            self.dropped += oldest.records
            self._remove(oldest)
            log.warning("The spool is full: the oldest records are dropped.")

    def _remove(self, segment: Segment) -> None:
        with self._lock:
            if segment in self.segments:
                self.segments.remove(segment)
            segment.place.unlink(missing_ok=True)


def _without_body(record: bytes) -> bytes:
    """That it was asked counts; its texts may be larger than all that a proxy lets through."""
    told = orjson.loads(record)
    return record if told.get("body") is None else orjson.dumps(told | {"body": None})


def now() -> datetime:
    return datetime.now(UTC)


def _append(segment: Segment, lines: bytes) -> None:
    with open(os.open(segment.place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0) as file:
        try:
            written = file.write(lines)
            if written != len(lines):
                raise OSError("no space left on the device")
            os.fsync(file.fileno())
        except OSError:
            file.truncate(segment.size_bytes)
            raise
    segment.size_bytes += len(lines)


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


def _read(place: Path) -> Iterator[dict[str, object]]:
    """Nothing of a file that was dropped meanwhile; without a line that a power cut left half written."""
    try:
        lines = place.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines:
        try:
            found = orjson.loads(line) if line else None
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict):
            yield found
