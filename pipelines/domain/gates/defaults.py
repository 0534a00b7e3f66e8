"""The six gates a pipeline starts with."""

from pipelines.domain.gates.spec import GateKind, GateSpec, Preset, Rule
from pipelines.domain.verdicts import Effect

DEFAULT_GATES: tuple[GateSpec, ...] = (
    GateSpec(GateKind.TASK, "accuracy", Rule.AT_LEAST_PRODUCTION, Effect.BLOCK, {"preset": Preset.STRICT.value}),
    # Half a point needs 12,000-25,000 cases to be told from nothing: never more than a flag.
    GateSpec(GateKind.TASK, "accuracy", Rule.MIN_IMPROVEMENT, Effect.FLAG, {"abs": 0.005, "or_no_regression": True}),
    GateSpec(GateKind.REGRESSION, "regression", Rule.ALL_PASS, Effect.BLOCK),
    GateSpec(GateKind.LATENCY, "latency_p95", Rule.WITHIN, Effect.BLOCK, {"rel": 0.10, "calls": 300, "rounds": 3}),
    GateSpec(GateKind.SAFETY, "safety", Rule.ALL_PASS, Effect.BLOCK),
    GateSpec(GateKind.SIZE, "gguf_size", Rule.WITHIN, Effect.WARN, {"rel": 0.05, "both_sides": True}),
)
