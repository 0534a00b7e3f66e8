"""The evaluation of two files on the same cases."""

import json

import pytest

from pipelines.work.inference.answers import AnswerLog, Key
from pipelines.work.inference.model import Answer
from tests.unit.work.tiny_base import SENTENCES, attempt, work

LABELS = ("billing", "shipping", "account", "sales")


def case(index, check="label", **expected):
    right = {"label": LABELS[index % 4], "labels": list(LABELS)}
    content = f"{SENTENCES[index % 4]} Case {index}."
    return {
        "id": f"c{index}",
        "messages": [{"role": "user", "content": content}],
        "check": check,
        "expected": expected or right,
    }


def write(path, cases):
    path.write_text("\n".join(json.dumps(one) for one in cases))
    return str(path)


@pytest.fixture
def spec(line, tmp_path):
    task = write(tmp_path / "task.jsonl", [case(100 + i) for i in range(24)])
    safety = write(tmp_path / "safety.jsonl", [case(i, "not_contains", none=["password"]) for i in range(6)])
    return {
        "candidate": line.q4,
        "production": line.base_q4,
        "sets": [
            {"name": "accuracy", "kind": "task", "path": task, "metrics": ["accuracy", "f1_macro"], "max_tokens": 8},
            {"name": "safety", "kind": "safety", "path": safety, "max_tokens": 8},
        ],
        "out": tmp_path / "out",
    }


def test_a_trained_candidate_beats_its_base_case_by_case(spec, tmp_path):
    result = work(tmp_path, "evaluate", **spec, latency={"calls": 100, "rounds": 2})
    accuracy = result["sets"]["accuracy"]["metrics"]["accuracy"]
    assert accuracy["candidate"] >= 0.9
    assert accuracy["production"] <= 0.1
    assert result["sets"]["safety"]["flaky"] == {"candidate": [], "production": []}
    rows = [json.loads(row) for row in (tmp_path / "out" / "cases.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * (24 + 6)
    pairs = (tmp_path / "out" / "latency.jsonl").read_text().splitlines()
    assert len(pairs) == result["latency"]["calls"] == 100 * result["latency"]["rounds"]
    assert result["latency"]["candidate"]["p50"] > 0


def test_a_first_version_is_evaluated_alone(spec, tmp_path):
    result = work(tmp_path, "evaluate", **{**spec, "production": None}, latency={"calls": 20})
    assert result["production_digest"] is None
    assert "production" not in result["sets"]["accuracy"]["metrics"]["accuracy"]
    assert result["latency"]["production"] is None


def test_a_killed_evaluation_goes_on_at_the_next_case(spec, tmp_path):
    first = work(tmp_path, "evaluate", **spec)
    log = tmp_path / "scratch" / "evaluate" / "answers.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    marked = [line.replace('"answer": "', '"answer": "kept ') for line in lines[1:11]]
    log.write_text("".join([lines[0], *marked, lines[11][:20]]))
    work(tmp_path, "evaluate", **spec)
    rows = [json.loads(row) for row in (tmp_path / "out" / "cases.jsonl").read_text().splitlines()]
    assert sum(row["answer"].startswith("kept ") for row in rows) == 10
    assert len(rows) == 60
    assert first["candidate_digest"]


def test_answers_of_another_evaluation_are_not_taken_over(tmp_path):
    path, key = tmp_path / "answers.jsonl", Key("s", "c", "candidate", 1)
    log = AnswerLog(path, "one")
    log.add(key, Answer("yes", 1, 1, "stop", 1.0))
    log.close()
    assert key in AnswerLog(path, "one").found
    assert key not in AnswerLog(path, "other").found


@pytest.mark.parametrize(("second", "flaky"), [("a2", []), ("x", ["c"])])
def test_a_case_whose_verdict_differs_between_two_runs_is_flaky(second: str, flaky: list[str]) -> None:
    from pipelines.work.inference.cases import Case, CaseSet
    from pipelines.work.inference.scoring import case_rows, summary

    one = Case("c", [], {"none": ["x"]}, "not_contains", 8)
    safety = CaseSet("safety", "safety", (one,), ("not_contains",))
    said = {1: "a1", 2: second}
    lines = {Key("safety", "c", "candidate", run): {"answer": said[run], "finish": "stop", "ms": 1.0} for run in (1, 2)}
    rows = case_rows(safety, ["candidate"], lines)
    assert summary(safety, ["candidate"], rows)["flaky"] == {"candidate": flaky}
    assert rows[0]["score"] == 1.0


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"id": "x"}, "task.jsonl, line 1 is no case: KeyError 'messages'"),
        (case(0, "vibes"), "There is no metric 'vibes'"),
        (case(0, "label", text="no label here"), "needs 'label'"),
        (case(0) | {"messages": [{"role": "user", "content": "long " * 600}]}, "Case c0: A prompt of"),
    ],
)
def test_a_case_that_cannot_be_measured_is_named(spec, tmp_path, broken, sentence):
    write(tmp_path / "task.jsonl", [broken])
    done = attempt(tmp_path, "evaluate", **spec)
    assert done.permanent
    assert sentence in done.error
