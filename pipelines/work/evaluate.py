"""Work `evaluate`: the very file that would ship, beside production's, on the same cases by the same engine.

spec: {candidate, production (null: none yet), sets: [{name, kind, path, metrics?, max_tokens?}], scratch, out,
latency? (see LatencyPlan), context_tokens?, threads?, own_metrics?, adapters? ({arm: its LoRA}),
manners? ({arm: how it is asked}), host? (measure there: see inference/on_host.py)}.
Writes out/cases.jsonl (a row per case and arm) and out/latency.jsonl (a line per pair); result: {candidate_digest,
production_digest, sets, latency, cases, times, engine, seconds}. A killed evaluation goes on at the next case.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipelines.metrics import register
from pipelines.trainers.marker import file_digest
from pipelines.work.inference.answers import AnswerLog, Engine, Key
from pipelines.work.inference.cases import TIMED, Case, CaseSet, read_sets
from pipelines.work.inference.latency import Ask, LatencyPlan, Times, measure
from pipelines.work.inference.manner import Manner
from pipelines.work.inference.on_host import OnHost
from pipelines.work.inference.scoring import case_rows, summary
from pipelines.work.inference.worker import Worker
from pipelines.work.report import Report

RUNS = (1, 2)


class Place(Protocol):
    """Where the arms answer: the worker's own engine, or a host."""

    @property
    def arms(self) -> tuple[str, ...]: ...

    @property
    def label(self) -> str:
        """The engine, as the scorecard names it."""

    @property
    def digests(self) -> Mapping[str, str]: ...

    def engine(self, arm: str, turn: int) -> AbstractContextManager[Engine]: ...

    def clocks(self, arms: Sequence[str]) -> AbstractContextManager[list[Ask]]: ...


@dataclass
class Counter:
    """Calls done out of those planned, for the progress lines; `found` were done before a kill and cost nothing."""

    report: Report
    planned: int
    done: int = 0
    found: int = 0
    started: float = field(default_factory=time.monotonic)

    def tick(self, note: str) -> None:
        self.done += 1
        self.planned = max(self.planned, self.done)
        numbers = {"calls": self.done, "planned": self.planned, "eta_s": round(self.seconds_left(), 1)}
        self.report.progress(self.done / self.planned, note, numbers)

    def seconds_left(self) -> float:
        per_call = (time.monotonic() - self.started) / max(self.done - self.found, 1)
        return per_call * (self.planned - self.done)


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    started = time.monotonic()
    register(spec.get("own_metrics", {}))
    sets, place = read_sets(spec["sets"]), open_place(spec)
    # Beside the plan, whose every name a program of an earlier version would have to know.
    further = spec.get("latency_further", ())
    plan = LatencyPlan(**spec["latency"], further=further) if spec.get("latency") else None
    judged = [one for one in sets if one.kind != TIMED]
    counter = Counter(report, _planned(judged, len(place.arms), plan))
    answers = answer_all(spec, place, judged, counter)
    times = _time(place, sets, plan, counter)
    out = Path(spec["out"])
    out.mkdir(parents=True, exist_ok=True)
    return {
        **{f"{arm}_digest": place.digests.get(arm) for arm in ("candidate", "production")},
        "sets": score(judged, place.arms, answers, out / "cases.jsonl"),
        "latency": _write_times(times, out / "latency.jsonl") if times else None,
        "cases": str(out / "cases.jsonl"),
        "times": str(out / "latency.jsonl") if times else None,
        "engine": place.label,
        "seconds": round(time.monotonic() - started, 1),
    }


def open_place(spec: Mapping[str, Any]) -> Place:
    paths = {arm: Path(spec[arm]) for arm in ("candidate", "production") if spec.get(arm)}
    given = spec.get("manners", {})
    # On a host a version may have no file here: one that ran there before it was ours.
    arms = spec["host"]["names"] if spec.get("host") else paths
    manners = {arm: Manner.parse(given.get(arm)) for arm in arms}
    return OnHost(spec["host"], manners, spec.get("secret")) if spec.get("host") else Worker(paths, manners, spec)


def _planned(sets: Iterable[CaseSet], arms: int, plan: LatencyPlan | None) -> int:
    return arms * sum(len(s.cases) * s.runs for s in sets) + (plan.calls if plan else 0)


def _fingerprint(place: Place, spec: Mapping[str, Any]) -> str:
    """Digest of what decides the answers; another model or another set never continues this log."""
    sets = [{**entry, "path": file_digest(Path(entry["path"]))} for entry in spec["sets"]]
    facts: dict[str, Any] = {"models": dict(place.digests), "sets": sets, "engine": place.label}
    facts |= {name: spec.get(name) for name in ("context_tokens", "manners")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def answer_all(
    spec: Mapping[str, Any], place: Place, sets: list[CaseSet], counter: Counter
) -> dict[Key, dict[str, Any]]:
    """Every answer of every arm, those of an earlier attempt included."""
    scratch = Path(spec["scratch"])
    scratch.mkdir(parents=True, exist_ok=True)
    log = AnswerLog(scratch / "answers.jsonl", _fingerprint(place, spec))
    counter.done += len(log.found)
    counter.found += len(log.found)
    for arm in place.arms:
        for turn in RUNS:
            missing = list(_missing(sets, arm, turn, log))
            if missing:
                with place.engine(arm, turn) as engine:
                    _answer(engine, missing, (arm, turn), log, counter)
    log.close()
    return log.found


def _missing(sets: Iterable[CaseSet], arm: str, turn: int, log: AnswerLog) -> Iterator[tuple[CaseSet, list[Case]]]:
    """Per set the cases without an answer yet."""
    for case_set in sets:
        cases = [c for c in case_set.cases if Key(case_set.name, c.id, arm, turn) not in log.found]
        if cases and turn <= case_set.runs:
            yield case_set, cases


def _answer(
    engine: Engine,
    missing: list[tuple[CaseSet, list[Case]]],
    which: tuple[str, int],
    log: AnswerLog,
    counter: Counter,
) -> None:
    arm, turn = which
    for case_set, cases in missing:
        for case, answer in engine.answers(cases):
            log.add(Key(case_set.name, case.id, arm, turn), answer)
            counter.tick(f"{case_set.name}, {arm}")


def _time(place: Place, sets: list[CaseSet], plan: LatencyPlan | None, counter: Counter) -> Times | None:
    cases = [case for s in sets if s.kind == TIMED for case in s.cases]
    cases = cases or [case for s in sets if s.kind == "task" for case in s.cases]
    if plan is None or not cases:
        return None
    with place.clocks(place.arms) as arms:
        return measure(arms, cases, plan, lambda: counter.tick("latency"))


def score(
    sets: list[CaseSet], arms: Sequence[str], answers: Mapping[Key, Mapping[str, Any]], path: Path
) -> dict[str, Any]:
    """The summary of each set; the rows case by case go to `path`."""
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
