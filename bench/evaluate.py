"""The evaluator's batches against the usual loop: the same file, the same prompts, greedy, rounds side by side.

vs_loop_*: time of the usual loop (`create_chat_completion` for each case, which reuses the prefix) over that of the
batches, medians of the rounds, loading excluded. 100m: SmolLM2-135M, untrained, on real BANKING77 questions, 16 tokens.
tiny: the demo's base, trained on a demo client, on its held-out cases; the best number of threads on both sides.
same_answers: share of cases whose batched answer is that of the evaluator's own loop, token by token, over all models;
same_as_usual_loop_*: that of the usual loop, whose kernels round otherwise (docs/why/exact-batches.md).
memory_vs_loop: peak of the process with batches over that with the usual loop, the larger of both models.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Spinning OpenMP threads cost 14x on a busy machine; set before any of them starts.
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "GGML_NO_BACKTRACE": "1"}

from bench.report import Figure, at_least, at_most, report, wants_json

ROOT = Path(__file__).resolve().parents[1]
SMOLLM2, TINY = ROOT / "var" / "bases" / "smollm2", ROOT / "agency" / "demo" / "base" / "tiny"
DATA = ROOT / "agency" / "demo" / "data" / "heronbrook"
BANKING77 = ROOT.parent / "shared" / "data" / "banking77" / "test.csv"
SYSTEM = "Name the intent of the bank customer's message in a few words."
ROUNDS, PROMPTS, TOKENS, CONTEXT = 3, 60, 16, 2048
WAYS = ("usual", "loop", "batched")
TARGETS = {
    "vs_loop_100m_2t": at_least(1.7),
    "vs_loop_tiny_best": at_least(1.3),
    "same_answers": at_least(1.0),
    "memory_vs_loop": at_most(1.2),
}
Round = dict[str, dict[str, Any]]


def main() -> None:
    as_json = wants_json()
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory(prefix="retune-bench-") as name:
        tiny = tiny_rounds(Path(name))
        real, why = smollm2_rounds(Path(name))
    figures |= {"vs_loop_100m_2t": ratio(real) if real else None} | ({"vs_loop_100m_2t_why": why} if why else {})
    figures["vs_loop_tiny_best"] = best(tiny, "usual") / best(tiny, "batched")
    everything = [one for rounds in (*tiny.values(), real) for one in rounds]
    figures["same_answers"] = min(same(one, "loop") for one in everything)
    figures["memory_vs_loop"] = max(one["batched"]["peak_mb"] / one["usual"]["peak_mb"] for one in everything)
    figures |= {f"vs_loop_tiny_{threads}t": ratio(rounds) for threads, rounds in tiny.items()}
    figures["same_as_usual_loop_tiny"] = min(same(one, "usual") for rounds in tiny.values() for one in rounds)
    if real:
        figures["same_as_usual_loop_100m"] = min(same(one, "usual") for one in real)
        figures["batched_100m_per_s"] = PROMPTS / statistics.median(one["batched"]["seconds"] for one in real)
    figures["batched_tiny_per_s"] = len(tiny[1][0]["batched"]["answers"]) / best(tiny, "batched")
    report("evaluate", figures, TARGETS, as_json)


def tiny_rounds(folder: Path) -> dict[int, list[Round]]:
    """By number of threads."""
    gguf, cases = built(folder / "tiny", TINY, DATA / "v1.jsonl"), folder / "tiny.jsonl"
    cases.write_text((DATA / "heldout.jsonl").read_text())
    return {threads: rounds(gguf, cases, threads, 24) for threads in (1, 2)}


def smollm2_rounds(folder: Path) -> tuple[list[Round], str]:
    if not (SMOLLM2 / "config.json").is_file():
        return [], "SmolLM2 is not there: run `make smollm2`"
    if not BANKING77.is_file():
        return [], f"the BANKING77 rows are not there: {BANKING77}"
    with BANKING77.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    asked = [row["text"] for row in found[:: len(found) // PROMPTS]][:PROMPTS]
    lines = [json.dumps({"id": f"c{n}", **_case(text)}) for n, text in enumerate(asked)]
    cases = folder / "real.jsonl"
    cases.write_text("\n".join(lines))
    return rounds(built(folder / "real", SMOLLM2, None), cases, 2, TOKENS), ""


def _case(text: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    return {"messages": messages, "check": "label", "expected": {}}


def built(folder: Path, base: Path, rows: Path | None) -> Path:
    """The quantised file of a base, trained on `rows` where there are some."""
    os.environ.setdefault("RETUNE_CONVERTER_DIR", str(ROOT / ".setup" / "converter"))
    os.environ["PYTHONPATH"] = str(ROOT)
    folder.mkdir()
    full, out, adapter = folder / "f16.gguf", folder / "q4.gguf", folder / "adapter"
    if rows is not None:
        work(folder, "train", trainer="peft", base=base, dataset=rows, recipe={}, out=adapter)
    work(folder, "convert", base=base, adapter=adapter if rows else None, out=full)
    work(folder, "quantise", source=full, out=out)
    return out


def work(folder: Path, kind: str, **spec: Any) -> None:
    path = folder / f"{kind}.json"
    path.write_text(json.dumps({**spec, "scratch": folder / kind}, default=str))
    command = [sys.executable, "-m", "pipelines.work", kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{kind} failed:\n{done.stdout[-500:]}\n{done.stderr[-1000:]}")


def rounds(gguf: Path, cases: Path, threads: int, tokens: int) -> list[Round]:
    """Every way in turn, each in a process of its own, so that a busy machine is busy for all of them."""
    return [{way: measured(way, gguf, cases, threads, tokens) for way in WAYS} for _round in range(ROUNDS)]


def measured(way: str, gguf: Path, cases: Path, threads: int, tokens: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.evaluate", way, str(gguf), str(cases), str(threads), str(tokens)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {gguf.parent.name} {way:8} {threads} threads  {found['seconds']:7.2f} s  {found['peak_mb']:.0f} MB")
    return found


def ratio(found: list[Round]) -> float:
    usual, batched = ([one[way]["seconds"] for one in found] for way in ("usual", "batched"))
    return statistics.median(usual) / statistics.median(batched)


def best(found: dict[int, list[Round]], way: str) -> float:
    return min(statistics.median(one[way]["seconds"] for one in some) for some in found.values())


def same(one: Round, way: str) -> float:
    batched, other = one["batched"]["answers"], one[way]["answers"]
    return sum(batched[name] == other[name] for name in other) / len(other)


def child(way: str, gguf: str, path: str, threads: str, tokens: str) -> None:
    """One way over all cases: {seconds, peak_mb, answers} on the last line."""
    from pipelines.work.inference.cases import read_cases

    cases = list(read_cases(Path(path), int(tokens)))
    seconds, answers = usual(gguf, cases, int(threads)) if way == "usual" else ours(way, gguf, cases, int(threads))
    with Path("/proc/self/status").open() as status:
        peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "peak_mb": peak_kb / 1024, "answers": answers}))


def usual(gguf: str, cases: list[Any], threads: int) -> tuple[float, dict[str, str]]:
    from llama_cpp import Llama

    model = Llama(gguf, n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False)
    answers, started = {}, time.perf_counter()
    for case in cases:
        messages: Any = [dict(message) for message in case.messages]
        said: Any = model.create_chat_completion(messages=messages, temperature=0, max_tokens=case.max_tokens)
        answers[case.id] = said["choices"][0]["message"]["content"]
    return time.perf_counter() - started, answers


def ours(way: str, gguf: str, cases: list[Any], threads: int) -> tuple[float, dict[str, str]]:
    from pipelines.work.gguf_header import check
    from pipelines.work.inference.answers import LoopEngine
    from pipelines.work.inference.batch import BatchEngine, sequences_for
    from pipelines.work.inference.model import Loading, LocalModel

    sequences = sequences_for(check(Path(gguf)).parameter_count) if way == "batched" else 1
    with LocalModel(Path(gguf), Loading(CONTEXT, threads, sequences=sequences, exact=True)) as model:
        started = time.perf_counter()
        engine = BatchEngine(model) if way == "batched" else LoopEngine(model)
        answers = {case.id: answer.text for case, answer in engine.answers(cases)}
        return time.perf_counter() - started, answers


if __name__ == "__main__":
    child(*sys.argv[1:]) if sys.argv[1:2] and sys.argv[1] in WAYS else main()
