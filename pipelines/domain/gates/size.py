"""The size gate: the shipped file against production's, or against a limit in bytes."""

from pipelines.domain.gates.evidence import Evidence
from pipelines.domain.gates.spec import GateResult, GateSpec, Number, Rule
from pipelines.domain.verdicts import Verdict


def judge_size(spec: GateSpec, evidence: Evidence) -> GateResult:
    """Within a share of production's size; a much smaller file is a surprise too where `both_sides` says so."""
    sizes = evidence.sizes
    if sizes is None or sizes.candidate_bytes <= 0:
        return GateResult(spec, Verdict.ERROR, f"{spec.metric} could not be measured: no file size was reported")
    if spec.rule is Rule.ABSOLUTE:
        return _absolute(spec, sizes.candidate_bytes)
    if sizes.production_bytes is None:
        return GateResult(spec, Verdict.INCONCLUSIVE, f"{spec.metric}: no production yet", no_production=True)
    return _within(spec, sizes.candidate_bytes, sizes.production_bytes)


def _megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _within(spec: GateSpec, candidate: int, production: int) -> GateResult:
    share, change = spec.number("rel", 0.05), candidate - production
    measured = abs(change) if spec.params.get("both_sides", False) else change
    holds = measured <= share * production  # multiplied, not divided: a baseline of 0 bytes has no ratio
    relative = f"{100 * change / production:+.1f} %" if production else "no ratio"
    bound = f"{'within' if holds else 'not within'} {100 * share:g} %"
    sizes = f"{_megabytes(candidate)} against {_megabytes(production)} (production)"
    sentence = f"{spec.metric} {sizes}, {relative}: {bound}"
    numbers: dict[str, Number] = {"candidate": candidate, "production": production, "limit": share}
    return GateResult(spec, Verdict.PASSED if holds else Verdict.FAILED, sentence, numbers)


def _absolute(spec: GateSpec, candidate: int) -> GateResult:
    limit = spec.number("max", 0.0)
    holds = candidate <= limit
    sentence = f"{spec.metric} {_megabytes(candidate)} {'<=' if holds else '>'} {_megabytes(limit)} (limit)"
    numbers: dict[str, Number] = {"candidate": candidate, "limit": limit}
    return GateResult(spec, Verdict.PASSED if holds else Verdict.FAILED, sentence, numbers)
