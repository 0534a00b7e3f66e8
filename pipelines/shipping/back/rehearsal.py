"""The real rollback, written row by row and undone before its commit: no gateway and no reader ever sees it."""

from __future__ import annotations

import time
from datetime import datetime

from django.db import transaction

from pipelines.models import ModelVersion, Route
from pipelines.shipping.rollback import Finding, leaving, roll_back
from tenants.models import Pipeline


class WayChanged(RuntimeError):
    """Somebody moved the traffic while the drill went on; its hosts were asked for another way back."""


class _Undone(Exception):
    """Raised inside the transaction, so that nothing of it stays."""


def rehearse(pipeline: Pipeline, gone: ModelVersion, target: ModelVersion, now: datetime) -> float:
    """Seconds that the rollback's own transaction takes, up to its commit. Whatever it raises would stop a real one.

    Its messages are sent on commit, so none of them leaves. Raises `WayChanged`.
    """
    began = time.perf_counter()
    try:
        with transaction.atomic():
            routes = Route.objects.select_for_update(of=("self",)).select_related("production", "candidate")
            route = routes.get(pipeline=pipeline)
            if leaving(route, target).pk != gone.pk or (route.production_id == target.pk and not route.candidate_id):
                raise WayChanged(f"the traffic moved meanwhile, {target.label} is no longer the way back")
            roll_back(route, target, Finding("person", "decision", "drill", {}), "drill", now)
            raise _Undone
    except _Undone:
        return time.perf_counter() - began
