"""A client's gates in the judge's own terms."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pipelines.domain.gates import GateKind, GateSpec, Rule
from pipelines.domain.verdicts import Effect
from tenants.pipeline_settings import Criteria, Gate

POINTS = 100.0
# Kinds of set of which a gate needs one; where none is configured it does not exist. File sizes are always there.
SETS_OF: dict[str, tuple[str, ...]] = {
    "task": ("heldout",),
    "regression": ("regression",),
    "safety": ("safety",),
    "latency": ("latency", "heldout"),
}


def has_set(gate: Gate, measured: Collection[str]) -> bool:
    """Whether the gate exists for a run that measured these sets; an empty set is one."""
    needed = SETS_OF.get(gate.kind)
    return needed is None or any(kind in measured for kind in needed)


def spec_of(gate: Gate, criteria: Criteria) -> GateSpec:
    """Shares instead of points; what the criteria say of the latency."""
    params: dict[str, Any] = {}
    match gate.rule:
        case "at_least_production":
            params = {"preset": gate.preset, "evidence": gate.evidence}
            params |= {} if gate.tolerance is None else {"tolerance": gate.tolerance / POINTS}
        case "max_drop" | "min_improvement":
            params = {"rel": gate.limit or 0.0} if gate.relative else {"abs": (gate.limit or 0.0) / POINTS}
            params |= {"or_no_regression": True} if gate.rule == "min_improvement" and gate.effect == "flag" else {}
            params |= {"evidence": gate.evidence} if gate.rule == "max_drop" else {}
        case "within":
            params = {"rel": gate.limit or 0.0} | _within(gate.kind, criteria)
        case "absolute":
            params = {"max" if gate.kind in ("latency", "size") else "min": gate.limit or 0.0}
    kind, rule = GateKind(gate.kind), Rule(gate.rule)
    return GateSpec(kind, gate.metric, rule, Effect(gate.effect), params, gate.shadow)


def _within(kind: str, criteria: Criteria) -> dict[str, Any]:
    if kind == "latency":
        return {"floor_ms": criteria.latency_floor_ms, "rounds": criteria.latency_rounds}
    return {"both_sides": True}


def spec_body(spec: GateSpec) -> dict[str, Any]:
    """What a verdict keeps of its gate (JSON values)."""
    return {"metric": spec.metric, "rule": spec.rule.value, "params": dict(spec.params)}
