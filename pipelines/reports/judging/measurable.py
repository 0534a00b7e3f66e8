"""What the gates of a pipeline cannot be judged by yet: sets that are missing, metrics that the cases cannot feed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from pipelines.metrics import CaseError, try_case
from pipelines.records.gate_specs import SETS_OF
from tenants.models import EvalSet, Pipeline
from tenants.models.eval_set import EvalKind
from tenants.pipeline_settings import JUDGED, Gate


def without_a_set(pipeline: Pipeline, gates: Iterable[Gate]) -> list[tuple[Gate, tuple[str, ...]]]:
    """Gates that do not exist for a run of today, each with the kinds of set of which it needs one."""
    there = set(EvalSet.objects.filter(pipeline=pipeline).values_list("kind", flat=True))
    needed = [(gate, SETS_OF.get(gate.kind, ())) for gate in gates]
    return [(gate, kinds) for gate, kinds in needed if kinds and not there.intersection(kinds)]


def refuse_unfed(pipeline: Pipeline, metrics: Iterable[str]) -> str:
    """Which metric the newest held-out set cannot feed, as a sentence; empty where all can be computed."""
    made = EvalSet.objects.filter(pipeline=pipeline, kind=EvalKind.HELDOUT).order_by("-version").first()
    if made is None:
        return ""
    cases = list(made.cases.order_by("id").values_list("key", "check_name", "expected"))
    checks = {check for _key, check, _expected in cases}
    for metric in metrics:
        # As the evaluation does: a metric that is some case's check scores those cases only.
        scored = [(key, expected) for key, check, expected in cases if metric not in checks or metric == check]
        why = _unreadable(metric, scored) if metric != JUDGED else ""
        if why:
            words = {"metric": metric, "version": made.version, "why": why}
            return _("%(metric)s cannot be computed on the held-out set (version %(version)s): %(why)s") % words
    return ""


def _unreadable(metric: str, scored: Iterable[tuple[str, dict[str, Any]]]) -> str:
    for key, expected in scored:
        try:
            try_case(metric, expected)
        except CaseError as error:
            return _("case %(case)s: %(why)s") % {"case": key, "why": error}
    return ""
