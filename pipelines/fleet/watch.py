"""After each look: the host compared with what was placed on it, and put right where its policy says so."""

from __future__ import annotations

from datetime import datetime

from pipelines.fleet import drift
from pipelines.fleet.drift import Picture
from pipelines.fleet.repair import repair_if_due
from pipelines.models import Placement
from tenants.models import DriftPolicy, Host


def watch(row: Host, seen: Picture, right_at: datetime | None, now: datetime) -> None:
    """`right_at`: the look before, if the host answered then. Not while a job of ours changes names there.

    `now`: when the look began; what was seen is no younger.
    """
    if drift.is_busy(row, now):
        return
    placements = drift.placements_on(row)
    for placement in placements:
        _remember_template(placement, seen)
    for made, finding in drift.note(row, list(drift.compare(placements, seen)), right_at, now):
        if row.drift_policy == DriftPolicy.REPAIR:
            repair_if_due(row, made, finding, now)


def _remember_template(placement: Placement, seen: Picture) -> None:
    """What the host chose when the version was placed, as the first look finds it: from then on it must stay."""
    template, facts = seen.templates.get(placement.model_name), placement.facts
    is_right = seen.digests.get(placement.model_name) == facts.get("manifest_digest")
    if template and is_right and "template_digest" not in facts:
        placement.facts = facts | {"template_digest": template}
        placement.save(update_fields=["facts"])
