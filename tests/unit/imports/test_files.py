"""Files become rows: every format and shape, what is found out, and what a mapping says."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from pipelines.domain.data_checks import Unreadable, parse_line
from pipelines.imports import BadFile, Mapping, open_file

SAID = [
    ("Where is my parcel?", "delivery"),
    ("¿Dónde está, “señor”?", "delivery"),
    ("Two invoices; one order", "billing"),
]
TURNS = [[("user", text), ("assistant", label)] for text, label in SAID]


def read(path: Path, mapping: Mapping | None = None) -> list[Any]:
    """Turns of each row, or the problem that it has."""
    lines = [line for line in open_file(path, path.name, mapping or Mapping()).lines()]
    return [_one(line) for line in lines]


def _one(line: bytes | Unreadable) -> Any:
    parsed = line.problem if isinstance(line, Unreadable) else parse_line(line)
    return list(parsed.turns) if hasattr(parsed, "turns") else parsed


def csv_file(path: Path, encoding: str = "utf-8", delimiter: str = ",") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([("text", "category"), *SAID])
    return path


def workbook(path: Path, rows: list[tuple[Any, ...]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_csv_of_any_delimiter_is_read_without_a_question(tmp_path: Path, delimiter: str, encoding: str) -> None:
    assert read(csv_file(tmp_path / "rows.csv", encoding, delimiter)) == TURNS


def test_a_workbook_is_read_from_its_first_sheet(tmp_path: Path) -> None:
    assert read(workbook(tmp_path / "rows.xlsx", [("text", "category"), *SAID])) == TURNS


def test_a_file_needs_no_ending(tmp_path: Path) -> None:
    path = workbook(tmp_path / "rows.xlsx", [("text", "category"), *SAID]).rename(tmp_path / "e3b0c442")

    assert read(path) == TURNS


def test_a_parquet_table_is_read(tmp_path: Path) -> None:
    texts, labels = zip(*SAID, strict=True)
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "label": labels}), tmp_path / "rows.parquet")

    assert read(tmp_path / "rows.parquet") == TURNS


def test_a_parquet_of_conversations_needs_no_mapping(tmp_path: Path) -> None:
    rows = [[{"role": role, "content": text} for role, text in turns] for turns in TURNS]
    pyarrow.parquet.write_table(pyarrow.table({"messages": rows}), tmp_path / "rows.parquet")

    assert read(tmp_path / "rows.parquet") == TURNS


SHAPES: dict[str, dict[str, Any]] = {
    "completion": {"input": "Hello?", "output": "greeting"},
    "prompt": {"prompt": "Hello?", "completion": "greeting"},
    "openai": {"messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "greeting"}]},
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo?"}]},
            {"role": "assistant", "content": "greeting"},
        ]
    },
    "sharegpt": {"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "greeting"}]},
    "lists": {
        "prompt": [{"role": "user", "content": "Hello?"}],
        "completion": [{"role": "assistant", "content": "greeting"}],
    },
    "alpaca": {"instruction": "Hello?", "input": "", "output": "greeting"},
    "question": {"question": "Hello?", "answer": "greeting"},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_a_known_shape_needs_no_mapping(tmp_path: Path, shape: str, ending: str) -> None:
    path, row = tmp_path / f"rows.{ending}", SHAPES[shape]
    path.write_text(json.dumps(row) + "\n" if ending == "jsonl" else json.dumps([row], indent=2))

    assert read(path) == [[("user", "Hello?"), ("assistant", "greeting")]]


def test_system_prompts_of_every_shape_are_kept(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "developer", "content": "Be brief."}, *SHAPES["openai"]["messages"]]},
        {"system": "Be brief.", **SHAPES["sharegpt"]},
        {"system": "Be brief.", **SHAPES["alpaca"]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    assert [turns[0] for turns in read(path)] == [("system", "Be brief.")] * 3


def test_a_problem_points_into_the_row_as_it_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": ""}]}))

    assert read(path)[0].pointer == "/conversations/1/value"


def test_a_mapping_says_which_column_is_what(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "rows.xlsx", [("id", "Q", "A", "Kind"), (7, "Hello?", 42.0, "greeting"), (8, "", "x", "y")]
    )
    mapping = Mapping(user="Q", assistant="A", label="Kind", instruction="Be brief.")

    lines = list(open_file(path, path.name, mapping).lines())

    assert json.loads(lines[0])["label"] == "greeting"
    assert _one(lines[0]) == [("system", "Be brief."), ("user", "Hello?"), ("assistant", "42")]
    assert _one(lines[1]).pointer == "/Q" and "“Q” is empty" in _one(lines[1]).message


def test_a_mapping_reads_odd_json_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"utterance_text": "Hello?", "kind": "greeting"}\nnot json\n')

    first, second = read(path, Mapping(user="utterance_text", label="kind"))

    assert first == [("user", "Hello?"), ("assistant", "greeting")]
    assert second.rule == "json"


def test_columns_that_are_not_there_are_named_with_those_that_are(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "rows.csv")

    with pytest.raises(BadFile, match=r"no column kind.*It has: text, category"):
        read(path, Mapping(user="text", label="kind"))


def test_a_table_whose_columns_say_nothing_asks(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")

    with pytest.raises(BadFile, match=r"which column holds the question and which the answer. The file has: a, b"):
        read(path)


def test_rows_are_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("[" + ",".join('{"input": "' + "x" * 1000 + '", "output": "y"}' for _ in range(2000)) + "]")
    found = open_file(path, path.name, Mapping())
    lines = found.lines()

    next(lines)

    assert found.reader.share < 0.1
    assert 1 + sum(1 for _ in lines) == 2000 and found.reader.share == 1.0
