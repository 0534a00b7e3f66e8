"""Work `evaluate`: the very file that would ship, beside production's, on the same cases by the same engine.

spec: {candidate, production (null: none yet), sets: [{name, kind, path, metrics?, max_tokens?}], scratch, out,
latency? ({calls, rounds, rel, seed}), context_tokens?, threads?}.
Writes out/cases.jsonl (a row per case and arm) and out/latency.jsonl (a line per pair); result: {candidate_digest,
production_digest, sets, latency, cases, times, engine, seconds}. A killed evaluation goes on at the next case.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp

from pipelines.trainers.marker import file_digest
from pipelines.work.inference.answers import AnswerLog, Key, LoopEngine
from pipelines.work.inference.cases import Case, CaseSet, read_sets
from pipelines.work.inference.latency import LatencyPlan, Times, measure
from pipelines.work.inference.model import Loading, LocalModel
from pipelines.work.inference.scoring import case_rows, summary
from pipelines.work.report import Report


@dataclass
class Counter:
    """Calls done out of those planned, for the progress lines."""

    report: Report
    planned: int
    done: int = 0

    def tick(self, note: str) -> None:
        self.done += 1
        numbers = {"calls": self.done, "planned": self.planned}
        self.report.progress(self.done / max(self.planned, 1), note, numbers)


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    started = time.monotonic()
    models = _models(spec)
    digests = {arm: file_digest(path) for arm, path in models.items()}
    sets = read_sets(spec["sets"])
    plan = LatencyPlan(**spec["latency"]) if spec.get("latency") else None
    counter = Counter(report, _planned(sets, len(models), plan))
    answers = _answer_all(spec, models, sets, _fingerprint(digests, spec), counter)
    times = _time(models, sets, plan, counter)
    out = Path(spec["out"])
    out.mkdir(parents=True, exist_ok=True)
    return {
        **{f"{arm}_digest": digests.get(arm) for arm in ("candidate", "production")},
        "sets": _score(sets, list(models), answers, out / "cases.jsonl"),
        "latency": _write_times(times, out / "latency.jsonl") if times else None,
        "cases": str(out / "cases.jsonl"),
        "times": str(out / "latency.jsonl") if times else None,
        "engine": f"llama-cpp-python {llama_cpp.__version__}",
        "seconds": round(time.monotonic() - started, 1),
    }


def _models(spec: Mapping[str, Any]) -> dict[str, Path]:
    arms = {"candidate": spec["candidate"], "production": spec.get("production")}
    return {arm: Path(path) for arm, path in arms.items() if path}


def _planned(sets: Iterable[CaseSet], arms: int, plan: LatencyPlan | None) -> int:
    return arms * sum(len(s.cases) * s.runs for s in sets) + (plan.calls if plan else 0)


def _fingerprint(digests: Mapping[str, str], spec: Mapping[str, Any]) -> str:
    """Digest of what decides the answers; another model or another set never continues this log."""
    sets = [{**entry, "path": file_digest(Path(entry["path"]))} for entry in spec["sets"]]
    facts = {"models": digests, "sets": sets, "context": spec.get("context_tokens"), "engine": llama_cpp.__version__}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _answer_all(
    spec: Mapping[str, Any], models: Mapping[str, Path], sets: list[CaseSet], fingerprint: str, counter: Counter
) -> dict[Key, dict[str, Any]]:
    scratch = Path(spec["scratch"])
    scratch.mkdir(parents=True, exist_ok=True)
    log = AnswerLog(scratch / "answers.jsonl", fingerprint)
    counter.done = len(log.found)
    loading = Loading(context_tokens=spec.get("context_tokens", 2048), threads=spec.get("threads"))
    for arm, path in models.items():
        if any(_missing(sets, arm, log)):
            with LocalModel(path, loading) as model:
                _answer_arm(model, sets, arm, log, counter)
    log.close()
    return log.found


def _missing(sets: Iterable[CaseSet], arm: str, log: AnswerLog) -> Iterator[tuple[CaseSet, int, list[Case]]]:
    """Per set and run the cases without an answer yet."""
    for case_set in sets:
        for turn in range(1, case_set.runs + 1):
            cases = [c for c in case_set.cases if Key(case_set.name, c.id, arm, turn) not in log.found]
            if cases:
                yield case_set, turn, cases


def _answer_arm(model: LocalModel, sets: list[CaseSet], arm: str, log: AnswerLog, counter: Counter) -> None:
    for case_set, turn, cases in _missing(sets, arm, log):
        # The second run reads every prompt whole: an answer that hangs on what came before it shows as flaky.
        model.reuse_prefix = turn == 1
        for case, answer in LoopEngine(model).answers(cases):
            log.add(Key(case_set.name, case.id, arm, turn), answer)
            counter.tick(f"{case_set.name}, {arm}")


def _time(models: Mapping[str, Path], sets: list[CaseSet], plan: LatencyPlan | None, counter: Counter) -> Times | None:
    cases = [case for s in sets if s.kind == "task" for case in s.cases]
    if plan is None or not cases:
        return None
    return measure(models["candidate"], models.get("production"), cases, plan, lambda: counter.tick("latency"))


def _score(
    sets: list[CaseSet], arms: list[str], answers: Mapping[Key, Mapping[str, Any]], path: Path
) -> dict[str, Any]:
    rows = {s.name: case_rows(s, arms, answers) for s in sets}
    _write_lines(path, (row for of_set in rows.values() for row in of_set))
    return {s.name: summary(s, arms, rows[s.name]) for s in sets}


def _write_times(times: Times, path: Path) -> dict[str, Any]:
    production: list[Any] = times.production or [None] * len(times.candidate)
    pairs = zip(times.cases, times.candidate, production, strict=True)
    _write_lines(path, ({"case": case, "candidate_ms": a, "production_ms": b} for case, a, b in pairs))
    return times.summary()


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    temporary = path.with_name(f".{path.name}")
    with temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    temporary.replace(path)
