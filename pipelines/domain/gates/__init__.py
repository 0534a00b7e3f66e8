"""Gates: what a candidate must show before it ships, and the verdict over all of them."""

from pipelines.domain.gates.defaults import DEFAULT_GATES
from pipelines.domain.gates.evidence import (
    CorpusScore,
    Direction,
    Evidence,
    FileSizes,
    LatencyPairs,
    PairedScores,
    SetOutcome,
)
from pipelines.domain.gates.judge import Consequence, Overall, judge, judge_all, overall
from pipelines.domain.gates.spec import GateKind, GateResult, GateSpec, Preset, Proof, Rule, check_spec

__all__ = [
    "DEFAULT_GATES",
    "Consequence",
    "CorpusScore",
    "Direction",
    "Evidence",
    "FileSizes",
    "GateKind",
    "GateResult",
    "GateSpec",
    "LatencyPairs",
    "Overall",
    "PairedScores",
    "Preset",
    "Proof",
    "Rule",
    "SetOutcome",
    "check_spec",
    "judge",
    "judge_all",
    "overall",
]
