"""The whole way of two versions, for several pipelines at once: promoted by a person; through a canary and taken back.

The hosts are folders, so that several processes see the same one and every effect on it is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.utils.timezone import now

from pipelines.artifacts import store_of
from pipelines.hosts.fake import FakeHost
from pipelines.models import DatasetVersion, Exchange, Job, Notice, Rollout, Run
from tenants.models import Host
from tests import factories
from tests.engines.processes import until
from tests.engines.story import OVERRIDES, Event, Story, events
from tests.faults.world import SEEN

WATCH_S = 8  # Long enough to point aliases and to fail in.
FAILURES = 10
OF_THE_WAY = ("checks", "events")  # A look or a wait more or less; what events decide is compared by itself.
LASTING = ("blob", "create", "copy")  # A model that is loaded twice is loaded once.


class WholeWay(Story):
    """Played in steps: each `next` is one look at its run."""

    overrides = factories.merged(OVERRIDES, {"rollout": {"max_step_s": 1}, "monitor": {"duration_s": WATCH_S}})

    def __init__(self, var: Path, *rest: Any) -> None:
        super().__init__(var, *rest)
        folder = var / f"host-{uuid4().hex}"
        self.host = FakeHost(f"fake://{folder}")
        self.told: list[list[Event]] = []
        with factories.inside(self.pipeline):
            Host.objects.update(kind="fake", url=f"fake://{folder}")

    def steps(self) -> Iterator[None]:
        first = self.start(0)
        yield from self.coming(first, "held")
        self.approve(first)
        yield from self.coming(first, "succeeded")
        yield from self.working()
        second = self.start(1000)
        yield from self.coming(second, "held")  # The last canary step, for want of evidence.
        self.approve(second)
        yield from self.coming(second, "waiting", "monitor")
        yield from self.working()
        fail(second)
        yield from self.coming(second, "rolled_back")
        yield from self.working()
        self.told = [events(first), events(second)]

    def coming(self, run: Run, status: str, reason: str = "") -> Iterator[None]:
        while not self.is_at(run, status, reason):
            yield

    def working(self) -> Iterator[None]:
        """Until no job is left and every mail is out."""
        while Job.objects.exclude(due_at=None).exists() or Notice.objects.exclude(due_at=None).exists():
            yield


def play(ways: Sequence[WholeWay], timeout_s: float) -> None:
    """All of them side by side, each as fast as it comes on."""
    going = {way: way.steps() for way in ways}

    def is_over() -> bool:
        for way in list(going):
            way.between()
            with factories.inside(way.pipeline):
                if next(going[way], going) is going:
                    del going[way]
        return not going

    until(f"{len(ways)} pipelines go the whole way", is_over, timeout_s, ways[0].log if ways[0].log.exists() else None)


def fail(run: Run) -> None:
    """What the meter writes when the version on watch answers nobody and the one before it does."""
    rollout, began = Rollout.objects.get(run=run), now()
    pairs = [(n, version) for n in range(FAILURES) for version in (rollout.version, rollout.previous)]
    Exchange.objects.bulk_create(_exchange(rollout, version, n, began) for n, version in pairs)


def _exchange(rollout: Rollout, version: Any, number: int, began: Any) -> Exchange:
    is_failing, at = version.pk == rollout.version_id, began + timedelta(milliseconds=number)
    said = {"status": 502 if is_failing else 200, "is_error": is_failing, "is_transport_error": is_failing}
    where = {"host": "shop", "arm": "production", "key_hash": f"key {number}", "request_id": uuid4().hex}
    when = {"at": at, "finished_at": at, "latency_ms": 10.0}
    return Exchange.of(
        rollout, pipeline_id=rollout.pipeline_id, version=version, rollout=rollout, **said, **where, **when
    )


@dataclass(frozen=True)
class Landed:
    """What two versions leave, wherever it lands: the same whoever was killed on the way."""

    on_host: list[tuple[str, str, str]]
    alias: str
    files: list[str]
    rows: dict[str, int]
    notices: Counter[str]
    left_over: int


def landed(way: WholeWay) -> Landed:
    files = store_of(way.pipeline.client_id).root / "sha256"
    with factories.inside(way.pipeline):
        return Landed(
            on_host=[_without_owner(row) for row in way.host.effects() if row["effect"] in LASTING],
            alias=_alias(way.host),
            files=sorted(_same_anywhere(path.name) for path in files.rglob("*") if path.is_file()),
            rows={name: model.objects.count() for name, (model, _fields) in SEEN.items() if name not in OF_THE_WAY},
            notices=Counter(Notice.objects.exclude(sent_at=None).values_list("kind", flat=True)),
            left_over=Job.objects.exclude(status="succeeded").count() + Run.objects.exclude(due_at=None).count(),
        )


def _same_anywhere(name: str) -> str:
    """A manifest names rows and uploads by their ids, so that its own name differs."""
    return "manifest" if DatasetVersion.objects.filter(manifest=name).exists() else name


def _without_owner(row: dict[str, Any]) -> tuple[str, str, str]:
    """(effect, name, digest or source); names without their client."""
    source = row.get("source") or row.get("digest", "")
    return row["effect"], row.get("name", "").rpartition("/")[2], source.rpartition("/")[2]


def _alias(host: FakeHost) -> str:
    """Which version's bytes `:production` names."""
    blobs = {tag.name.rpartition(":")[2]: tag.digest for tag in host.tags()}
    return next(name for name, digest in blobs.items() if name != "production" and digest == blobs["production"])


def mails() -> Counter[str]:
    """Message-ID -> how often it was delivered."""
    texts = [path.read_text(errors="replace") for path in (Path(settings.VAR) / "mail").glob("*")]
    return Counter(line for text in texts for line in text.splitlines() if line.lower().startswith("message-id:"))
