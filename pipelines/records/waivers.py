"""Which gates of a pipeline are waived now."""

from __future__ import annotations

from datetime import datetime

from pipelines.models import Waiver


def in_force(pipeline_id: int, now: datetime) -> dict[str, Waiver]:
    """Gate -> its waiver; of several the one that ends last."""
    rows = Waiver.objects.filter(pipeline_id=pipeline_id, withdrawn_at=None, created_at__lte=now, expires_at__gt=now)
    return {row.gate: row for row in rows.order_by("expires_at", "id")}
