"""What a judge model found, joined to what the evaluation measured."""

from __future__ import annotations

from typing import Any

from pipelines.domain.gates import PairedScores
from tenants.pipeline_settings import JUDGED

# A comparison of two answers has no figure for one alone: its gates say "no production yet".
WITHOUT_RIVAL = PairedScores({"": 0.5}, None)


def with_judge(measured: dict[str, Any], judged: dict[str, Any]) -> dict[str, Any]:
    """The evaluation's facts with the judged metric: the share of the cases that each arm won, ties half."""
    facts, heldout = judged["judge"], dict(measured["sets"]["heldout"])
    share = (facts["wins"] + facts["ties"] / 2) / facts["n"] if facts["n"] and not facts["error"] else None
    figures = {"candidate": share, "production": None if share is None else 1.0 - share, "higher_is_better": True}
    heldout |= {"metrics": heldout["metrics"] | {JUDGED: figures}, JUDGED: facts}
    return measured | {"answers_digest": judged["answers_digest"], "sets": measured["sets"] | {"heldout": heldout}}


def not_judged(cases: dict[str, Any]) -> dict[str, str]:
    """{metric: why} where the judge left cases open: a part of the cases is no measurement."""
    heldout = cases.get("heldout")
    why = heldout.get(JUDGED, {}).get("error", "") if isinstance(heldout, dict) else ""
    return {JUDGED: why} if why else {}


def unrivalled(measured: dict[str, Any]) -> dict[str, Any]:
    """Nothing was judged: there is no production, or no held-out set."""
    if "heldout" not in measured["sets"]:
        return measured
    heldout = measured["sets"]["heldout"]
    figures = {"candidate": None, "higher_is_better": True}
    return measured | {
        "sets": measured["sets"] | {"heldout": heldout | {"metrics": heldout["metrics"] | {JUDGED: figures}}}
    }
