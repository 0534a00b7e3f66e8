"""Files that are broken, hostile or not what they say: a sentence each, or a row that is set aside; never a crash."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.domain.data_checks import Unreadable, parse_line
from pipelines.imports import READERS, BadFile, Mapping, open_file
from tests.unit.imports.test_files import SAID, csv_file, read, workbook

MAPPED = Mapping(user="text", label="category")


def made(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path


def zipped(path: Path, parts: dict[str, bytes]) -> Path:
    """An XLSX with some of its parts replaced."""
    workbook(path, [("text", "category"), *SAID])
    with zipfile.ZipFile(path) as archive:
        known = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in (known | parts).items():
            archive.writestr(name, body)
    return path


REFUSED = {
    "empty.csv": (b"", "is empty"),
    "blank.jsonl": (b" \n\n ", "is empty"),
    "rows.csv.gz": (gzip.compress(b"text,category\n"), "gzip.*unpack it first"),
    "old.xls": (b"\xd0\xcf\x11\xe0" + bytes(600), "old Excel format"),
    "paper.pdf": (b"%PDF-1.7", "PDF"),
    "latin.csv": ("text,category\nseñor,x\n".encode("cp1252"), "Line 2 is not UTF-8.*cp1252"),
    "open.csv": (b'text,category\n"never closed,x\n' + b"row,y\n" * 50, "opens at line 2 is never closed"),
    "twice.csv": (b"text,text\na,b\n", "Two columns are called “text”"),
    "long.csv": (b"text,category\n" + b"x" * 3_000_000, "Line 2 is longer than a million characters"),
    "torn.json": (b'[{"input": "a", "output": "b"}, {"inp', "Element 2 is not JSON"),
    "comma.json": (b'[{"input": "a", "output": "b"} {"input": "c"}]', "After element 1 comes {"),
    "tail.json": (b'{"input": "a",\n"output": "b"}\n{"input": "c"}', "behind the end"),
    "deep.json": (b"[" * 200_000, "nested too deeply"),
    "long.json": (b'["' + b"x" * 4_000_000 + b'"]', "Element 1 does not end within a million"),
    "no.xlsx": (b"PK\x03\x04 and nothing", "no whole Excel workbook.*Save it again"),
    "no.parquet": (b"PAR1 and nothing PAR1", r"no Parquet that can be read: .*[^.]\. Write it again\.$"),
    "text.xlsx": (b"text,category\na,b\n", "ends in .xlsx, but that is not what is in it"),
    "text.parquet": (b"text,category\na,b\n", "ends in .parquet, but that is not what is in it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    body, sentence = REFUSED[name]

    with pytest.raises(BadFile, match=sentence):
        read(made(tmp_path / name, body))


def test_a_stray_nul_makes_no_file_utf_16_and_its_row_is_told(tmp_path: Path) -> None:
    (line,) = read(made(tmp_path / "rows.csv", b"text,category\nhel\x00lo there,x\n"), MAPPED)

    assert line.rule == "characters"


@pytest.mark.parametrize("encoding", ["rot13", "no-such", "hex"])
def test_an_encoding_that_is_none_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(BadFile, match=r"No encoding is called"):
        read(csv_file(tmp_path / "rows.csv"), Mapping(encoding=encoding))


def test_a_wrong_encoding_says_where_it_fails(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"is not utf-16"):
        read(made(tmp_path / "rows.csv", b"text,category\nodd,x\n!"), Mapping(encoding="utf-16", delimiter=","))


def test_one_line_of_40_megabytes_is_one_quarantined_row(tmp_path: Path) -> None:
    path = made(tmp_path / "rows.jsonl", b'{"input": "a", "output": "b"}\n{"input": "' + b"x" * 40_000_000 + b'"}\n')

    lines = list(open_file(path, path.name, Mapping()).lines())

    assert [len(line) for line in lines] == [29, 1_000_001]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b'{"input": ' + b"[" * 100_000, "json"),
        (b'{"input": "a\\u0000", "output": "b"}', "characters"),
        (b'{"input": "\xff", "output": "b"}', "characters"),
        (b'{"input": "\\ud800", "output": "b"}', "characters"),
        (b'{"input": "a", "output": "b", "label": "\\u0000"}', "characters"),
        (b'{"input": ' + b"1" * 10_000 + b', "output": "b"}', "json"),
        (b'{"conversations": "hello"}', "type"),
        (b'{"conversations": [{"from": ["gpt"], "value": 3}]}', "role"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "type"),
        (b'{"prompt": [], "completion": []}', "empty"),
        (b'{"prompt": 1, "completion": null}', "type"),
    ],
)
def test_a_broken_row_is_told_and_the_next_is_read(tmp_path: Path, line: bytes, rule: str) -> None:
    good = b'{"input": "a", "output": "b"}'

    broken, *_more, whole = read(made(tmp_path / "rows.jsonl", line + (b"\n" + good) * 40))

    assert broken.rule == rule
    assert whole == [("user", "a"), ("assistant", "b")]


def test_rows_of_a_csv_are_set_aside_one_by_one(tmp_path: Path) -> None:
    body = b'text,category\ngood,x\nnot quoted, comma,x\n\xff\xfe,x\n"a" b,x\n"two\nlines",y\n,z\nNUL\x00,z\n'

    found = read(made(tmp_path / "rows.csv", body), MAPPED.model_copy(update={"encoding": "utf-8"}))

    assert [getattr(row, "rule", "") for row in found] == [
        "", "table", "characters", "table", "", "empty", "characters",
    ]  # fmt: skip
    assert found[1].pointer == "line 3" and found[4][0] == ("user", "two\nlines")


def test_empty_cells_behind_a_row_are_no_fields(tmp_path: Path) -> None:
    body = b"text,category,,\nHello,x,,\nBye,y\nOdd,z,,more\n"

    found = read(made(tmp_path / "rows.csv", body), MAPPED)

    assert [one[0] for one in found[:2]] == [("user", "Hello"), ("user", "Bye")]
    assert found[2].rule == "table"


def test_ten_thousand_labels_are_ten_thousand_rows(tmp_path: Path) -> None:
    body = b"text,category\n" + b"".join(b"text %d,label %d\n" % (n, n) for n in range(10_000))

    assert len(read(made(tmp_path / "rows.csv", body))) == 10_000


def test_a_workbook_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.xlsx", {"xl/sharedStrings.xml": b" " * 60_000_000})

    with pytest.raises(BadFile, match=r"unpacks to 60 MB.*CSV"):
        read(path)


def test_a_workbook_with_entities_is_refused(tmp_path: Path) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><worksheet>&c;</worksheet>'

    with pytest.raises(BadFile, match=r"damaged|no Excel workbook"):
        read(zipped(tmp_path / "bomb.xlsx", {"xl/worksheets/sheet1.xml": bomb}))


def test_a_formula_without_a_stored_result_is_an_empty_cell_that_is_told(tmp_path: Path) -> None:
    path = workbook(tmp_path / "rows.xlsx", [("text", "category"), ("Hello?", "=1+1"), ("Bye", "parting")])

    broken, whole = read(path)

    assert broken.rule == "empty" and broken.pointer == "/category"
    assert whole[0] == ("user", "Bye")


def test_a_sheet_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"no sheet “March”. The workbook has: Sheet"):
        read(workbook(tmp_path / "rows.xlsx", [("text", "category")]), Mapping(sheet="March"))


def parquet_bytes(rows: int = 2000) -> bytes:
    table = pyarrow.table({"text": [f"text {n}" for n in range(rows)], "category": ["x"] * rows})
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


def test_a_damaged_parquet_is_refused(tmp_path: Path) -> None:
    body = bytearray(parquet_bytes())
    body[100:3000] = bytes(2900)

    with pytest.raises(BadFile, match=r"damaged after row 0"):
        read(made(tmp_path / "rows.parquet", bytes(body)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


def ends_in_rows_or_a_sentence(path: Path, mapping: Mapping) -> None:
    try:
        for line in open_file(path, path.name, mapping).lines():
            if isinstance(line, Unreadable):
                assert line.problem.message
            else:
                parse_line(line)
    except BadFile as refused:
        assert str(refused).strip()


TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["messages", "conversations", "prompt", "completion", "input", "output", "role", "content",
                         "from", "value", "label", "system", "instruction", "text", "category"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=400), kind=st.sampled_from(["", *READERS]), mapped=st.booleans())
def test_any_bytes_end_in_rows_or_a_sentence(folder: Path, body: bytes, kind: str, mapped: bool) -> None:
    mapping = (MAPPED if mapped else Mapping()).model_copy(update={"format": kind})

    ends_in_rows_or_a_sentence(made(folder / "file", body), mapping)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(JSONISH, max_size=4), mapped=st.booleans(), is_array=st.booleans())
def test_any_json_ends_in_rows_or_a_sentence(folder: Path, rows: list[object], mapped: bool, is_array: bool) -> None:
    text = json.dumps(rows) if is_array else "\n".join(map(json.dumps, rows))

    ends_in_rows_or_a_sentence(made(folder / "file.txt", text.encode()), MAPPED if mapped else Mapping())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["xlsx", "parquet"]), at=st.floats(0, 1), noise=st.binary(min_size=1, max_size=60))
def test_a_table_damaged_anywhere_ends_in_rows_or_a_sentence(folder: Path, kind: str, at: float, noise: bytes) -> None:
    path = folder / f"table.{kind}"
    body = parquet_bytes(50) if kind == "parquet" else workbook(path, [("text", "category"), *SAID]).read_bytes()
    start = int(at * (len(body) - 1))

    ends_in_rows_or_a_sentence(made(path, body[:start] + noise + body[start + len(noise) :]), Mapping())
