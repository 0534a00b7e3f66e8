"""The one refusal: a sentence that says why, and what to do."""

from __future__ import annotations

from datetime import datetime

from pipelines import usage
from tenants.billing.caps import CapReached
from tenants.models import CapKind, Pipeline


class ActionRefused(Exception):
    """What was asked cannot be done now. Nothing was changed."""

    permanent = True


def refuse_capped(pipeline: Pipeline, now: datetime, *kinds: CapKind, more: int = 1) -> None:
    """In the transaction that adds. A file that came for it is nobody's then, and is collected as such."""
    try:
        usage.refuse_beyond(pipeline, now, *kinds, more=more)
    except CapReached as reached:
        raise ActionRefused(str(reached)) from reached
