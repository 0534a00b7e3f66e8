"""A trouble of a pipeline from its first notice to the one that says it is over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from pipelines.domain.telling.repeats import MUTED, Told, is_repeat
from pipelines.models import Notice
from pipelines.outbox import deliveries
from tenants.models import Pipeline

RECOVERED = "recovered"
LOOKED_BACK = 50


def repeats(pipeline_id: int, kind: str, stage: str, now: datetime) -> bool:
    """Whether a notice of this kind would only say again what was said."""
    if kind not in MUTED:
        return False
    rows = open_notices(pipeline_id, kind)
    earlier = tuple(Told(row.detail.get("stage", ""), row.created_at, row.detail.get("muted", False)) for row in rows)
    return is_repeat(stage, earlier, now)


def open_notices(pipeline_id: int, kind: str, host: str = "") -> list[Notice]:
    """Notices of this kind since the pipeline recovered from it, the newest first."""
    about: QuerySet[Notice] = Notice.objects.filter(pipeline_id=pipeline_id)
    about = about.filter(detail__host=host) if host else about
    over = about.filter(kind=RECOVERED, detail__of=kind).order_by("-id").values_list("pk", flat=True).first()
    return list(about.filter(kind=kind, pk__gt=over or 0).order_by("-id")[:LOOKED_BACK])


def tell_recovered(pipeline: Pipeline, kind: str, now: datetime, host: str = "") -> Notice | None:
    """One notice that ends a trouble, to those who heard of it; nothing where nothing was amiss."""
    rows = open_notices(pipeline.pk, kind, host)
    if not rows:
        return None
    first, muted = rows[-1], sum(bool(row.detail.get("muted")) for row in rows)
    detail: dict[str, Any] = {"of": kind, "since": first.created_at.isoformat(), "muted": muted, "run": first.run_id}
    detail |= {"host": host} if host else {}
    recipients = pipeline.settings.mailed(kind) if pipeline.revision else []
    due_at = now if recipients else None
    made: Notice = Notice.of(
        first,
        pipeline_id=pipeline.pk,
        kind=RECOVERED,
        key=f"{RECOVERED}:{kind}:{rows[0].pk}",
        recipients=recipients,
        detail=detail,
        due_at=due_at,
        created_at=now,
    )
    made.save()
    deliveries.spread(made, now)
    return made
