"""Work `hops`: the same cases at every step on the way from the base model to the host, so that a loss has a place.

spec: {base, adapter, shipped, sets (one), scratch, out, context_tokens?, threads?, manner?, own_metrics?,
shipped_lora?, host? (see inference/on_host.py; its one name stands for the arm "host")}.
result: {hops: [{name, metrics, right, bytes, alike, lost, won}], metrics, n, engine, host, seconds}: `alike` answers
and cases lost and won against the hop before. The hops: base, adapter (base and LoRA apart, f16), merged (f16),
quantised (the file that ships), host. A killed run goes on at the next case, with the files that it had made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.metrics import register
from pipelines.work import convert
from pipelines.work.conversion import official
from pipelines.work.evaluate import Counter, answer_all, score
from pipelines.work.inference.cases import read_sets
from pipelines.work.inference.manner import Manner
from pipelines.work.inference.on_host import OnHost
from pipelines.work.inference.worker import Worker
from pipelines.work.report import Report


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    started = time.monotonic()
    register(spec.get("own_metrics", {}))
    sets = read_sets(spec["sets"])
    paths, adapters = _files(spec, report)
    manner = Manner.parse(spec.get("manner"))
    here = Worker(paths, dict.fromkeys(paths, manner), {**spec, "adapters": adapters})
    there = OnHost(spec["host"], {"host": manner}, spec.get("secret")) if spec.get("host") else None
    arms = (*here.arms, *(there.arms if there else ()))
    counter = Counter(report, len(arms) * sum(len(s.cases) for s in sets))
    answers = answer_all(spec, here, sets, counter)
    if there:
        answers |= answer_all({**spec, "scratch": str(Path(spec["scratch"]) / "host")}, there, sets, counter)
    out = Path(spec["out"])
    out.mkdir(parents=True, exist_ok=True)
    summary = score(sets, arms, answers, out / "cases.jsonl")[sets[0].name]
    return {
        "hops": _hops(arms, summary, _rows(out / "cases.jsonl"), {arm: _bytes(arm, paths, adapters) for arm in arms}),
        "metrics": sorted(summary["metrics"]),
        "n": len(sets[0].cases),
        "engine": here.label,
        "host": there.label if there else "",
        "seconds": round(time.monotonic() - started, 1),
    }


def _files(spec: Mapping[str, Any], report: Report) -> tuple[dict[str, Path], dict[str, Path]]:
    """({hop: model file}, {hop: LoRA file}); what an earlier attempt made is taken as it is."""
    folder = Path(spec["scratch"])
    folder.mkdir(parents=True, exist_ok=True)
    base, merged, lora = folder / "base.gguf", folder / "merged.gguf", folder / "adapter.gguf"
    for out, adapter in ((base, None), (merged, spec["adapter"])):
        if not out.is_file():
            terms = {"base": spec["base"], "adapter": adapter, "scratch": str(folder / out.stem), "out": str(out)}
            convert.run(terms, report)
    if not lora.is_file():
        report.progress(0.9, "converting the adapter", force=True)
        official.convert_adapter(Path(spec["adapter"]), Path(spec["base"]), lora)
    paths = {"base": base, "adapter": base, "merged": merged, "quantised": Path(spec["shipped"])}
    apart = {"quantised": Path(spec["shipped_lora"])} if spec.get("shipped_lora") else {}
    return paths, {"adapter": lora} | apart


def _rows(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """{arm: {case: row}}."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    with path.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            found.setdefault(row["arm"], {})[row["id"]] = row
    return found


def _bytes(arm: str, paths: Mapping[str, Path], adapters: Mapping[str, Path]) -> int | None:
    files = [found[arm] for found in (paths, adapters) if arm in found]
    return sum(path.stat().st_size for path in files) or None


def _hops(
    arms: Sequence[str],
    summary: Mapping[str, Any],
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]],
    sizes: Mapping[str, int | None],
) -> list[dict[str, Any]]:
    before = (None, *arms)
    return [
        {
            "name": arm,
            "metrics": {name: figures.get(arm) for name, figures in summary["metrics"].items()},
            "right": sum(row["score"] >= 1 for row in rows[arm].values()),
            "bytes": sizes[arm],
            **(_against(rows[arm], rows[last]) if last else {"alike": None, "lost": None, "won": None}),
        }
        for arm, last in zip(arms, before, strict=False)
    ]


def _against(rows: Mapping[str, Mapping[str, Any]], before: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    pairs = [(row, before[name]) for name, row in rows.items()]
    return {
        "alike": sum(row["answer"] == old["answer"] for row, old in pairs),
        "lost": sum(row["score"] < old["score"] for row, old in pairs),
        "won": sum(row["score"] > old["score"] for row, old in pairs),
    }
