"""What a client or an agency uses of what may be capped, by what the database holds at this moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import DurationField, ExpressionWrapper, F, QuerySet, Sum

from pipelines.artifacts import store_of
from pipelines.domain.transitions import LIVE_RUNS
from pipelines.models import Batch, Job, ModelVersion, Run, Traffic, TrafficSpan, Unit
from tenants.billing import caps, terms_of
from tenants.models import CapKind

# Kinds of job by what they are charged as; a kind that is not here is shipping.
COMPUTE = {
    "preflight": "train", "train": "train", "build": "train",
    "evaluate": "evaluate", "hops": "evaluate", "judge": "evaluate", "replay": "evaluate",
}  # fmt: skip


def month_begin(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_end(now: datetime) -> datetime:
    return month_begin(month_begin(now) + timedelta(days=32))


def used(kind: CapKind, agency_id: int, client_id: int | None, now: datetime) -> int:
    """In the agency's scope; of all its clients where none is named. Money in cents."""
    whose = {"agency_id": agency_id} | ({} if client_id is None else {"client_id": client_id})
    match kind:
        case CapKind.RUNS:
            return Run.objects.filter(**whose, status__in=LIVE_RUNS).count()
        case CapKind.PIPELINES:
            return caps.pipelines_of(agency_id)(client_id)
        case CapKind.BYTES:
            return _bytes(whose)
        case CapKind.SPEND:
            return _cents(agency_id, whose, month_begin(now))
        case CapKind.TOKENS:
            return _tokens(whose, month_begin(now))


def counting(kind: CapKind, agency_id: int, now: datetime) -> Callable[[int | None], int]:
    return lambda client_id: used(kind, agency_id, client_id, now)


def refuse_beyond(row: Any, now: datetime, *kinds: CapKind, more: int = 1) -> None:
    """`row` is of the client who wants more. Raises `CapReached`; in the transaction that adds."""
    agency_id, client_id = row.owner()
    for kind in kinds:
        caps.refuse_beyond(kind, agency_id, client_id, counting(kind, agency_id, now), more)


def _bytes(whose: dict[str, int]) -> int:
    """Files and lines that were uploaded, files that are to become a model, and models; all as far as they are kept."""
    sent = Batch.objects.filter(**whose).order_by()
    files = sent.exclude(file_digest="").aggregate(all=Sum("file_bytes"))["all"] or 0
    lines = sent.aggregate(all=Sum("line_bytes"))["all"] or 0
    models = sum(size for (client, digest), size in _models(whose).items() if store_of(client).has(digest))
    return int(files + lines) + _brought(whose) + models


def _models(whose: dict[str, int]) -> dict[tuple[int, str], int]:
    """{(client, digest): bytes}: a base's file, from which LoRAs are apart, is kept once however many there are."""
    built = Job.objects.filter(**whose, kind="build", run__model_version__lora_digest__gt="")
    apart = dict(built.order_by().values_list("run__model_version__lora_digest", "result__lora_bytes"))
    found: dict[tuple[int, str], int] = {}
    names = ("client_id", "gguf_digest", "lora_digest", "gguf_bytes")
    for client, base, lora, size in ModelVersion.objects.filter(**whose).order_by().values_list(*names):
        told = apart.get(lora)  # An archive from elsewhere may have said anything.
        lora_bytes = told if isinstance(told, int) and 0 <= told <= size else 0
        found[client, base] = max(size - lora_bytes, found.get((client, base), 0))
        if lora:
            found[client, lora] = lora_bytes
    return found


def _brought(whose: dict[str, int]) -> int:
    """Of imports that are live and have no version yet."""
    runs = Run.objects.filter(**whose, status__in=LIVE_RUNS, model_version=None).order_by()
    return sum(run.occasion["bundle"]["bytes"] for run in runs.only("occasion") if "bundle" in run.occasion)


def _cents(agency_id: int, whose: dict[str, int], since: datetime) -> int:
    """The month's compute by the agency's own prices of an hour."""
    prices = terms_of(agency_id).prices
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    rows = Job.objects.filter(**whose, started_at__isnull=False, finished_at__gte=since)
    cost = Decimal()
    for kind, time in rows.order_by().values_list("kind").annotate(s=Sum(took)):
        price = Decimal(prices.get(f"{COMPUTE.get(kind.partition(':')[0], 'ship')}_hour", "0"))
        cost += Decimal(str(time.total_seconds())) / 3600 * price
    return int(cost * caps.CENTS)


def _tokens(whose: dict[str, int], since: datetime) -> int:
    """Days that are summed up, and minutes that are not yet."""
    spans = TrafficSpan.objects.filter(**whose, unit=Unit.DAY, begins_at__gte=since)
    return _summed(spans) + _summed(Traffic.objects.filter(**whose, is_rolled_up=False, minute__gte=since))


def _summed(rows: QuerySet[Any]) -> int:
    found = rows.order_by().aggregate(asked=Sum("input_tokens"), said=Sum("output_tokens"))
    return int(found["asked"] or 0) + int(found["said"] or 0)
