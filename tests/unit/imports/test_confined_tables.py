"""Workbooks and Parquet in a child of their own: the same rows, and a sentence for what would eat the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from pipelines.imports import BadFile, Mapping, open_file
from pipelines.records import tables
from pipelines.records.tables import open_confined
from pipelines.work.child import Limits
from tests.unit.imports.test_bad_files import made, parquet_bytes, zipped
from tests.unit.imports.test_files import SAID, workbook


def lines(path: Path) -> list[object]:
    return list(open_file(path, path.name, Mapping(), open_confined).lines())


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.fixture(autouse=True)
def no_child_stays() -> Iterator[None]:
    """Servers of other tests may be children of this process too."""
    before = children()
    yield
    assert children() <= before


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.parquet"])
def test_the_rows_are_those_that_this_process_would_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("xlsx"):
        workbook(path, [("text", "category"), *SAID])
    else:
        path.write_bytes(parquet_bytes(750))

    assert lines(path) == list(open_file(path, path.name, Mapping()).lines())


def test_a_child_ends_when_nobody_wants_more_rows(tmp_path: Path, settings: object) -> None:
    path = made(tmp_path / "rows.parquet", parquet_bytes(5000))
    found = open_file(path, path.name, Mapping(), open_confined)

    assert next(found.lines()) is not None
    assert 0 < found.reader.share < 1
    del found

    assert not list(settings.SCRATCH.iterdir())


def test_a_workbook_bomb_is_refused_in_the_child(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.xlsx", {"xl/sharedStrings.xml": b" " * 60_000_000})

    with pytest.raises(BadFile, match=r"unpacks to 60 MB.*CSV"):
        lines(path)


def test_a_parquet_that_unpacks_to_gigabytes_ends_with_a_sentence(tmp_path: Path) -> None:
    """One text of 20 MB, named by 2,000 rows: a few kilobytes that are 40 GB of rows."""
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 2000), pyarrow.array(["x" * 20_000_000]))
    table = pyarrow.table({"text": text, "category": ["x"] * 2000})
    pyarrow.parquet.write_table(table, tmp_path / "bomb.parquet", compression="zstd")
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000

    with pytest.raises(BadFile, match=r"damaged|more memory or time"):
        lines(tmp_path / "bomb.parquet")


def test_a_child_that_runs_out_of_time_or_falls_silent_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "rows.parquet", parquet_bytes())
    monkeypatch.setattr(tables, "SILENT_S", 0.0)
    with pytest.raises(BadFile, match=r"more memory or time"):
        lines(path)
    monkeypatch.setattr(tables, "SILENT_S", 60.0)
    monkeypatch.setattr(tables, "LIMITS", Limits(address_space_bytes=64 << 20))
    with pytest.raises(BadFile, match=r"more memory or time"):
        lines(path)


def test_a_child_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETUNE_SECRET_KEY", "not for readers")
    path = made(tmp_path / "rows.parquet", parquet_bytes())
    found = open_file(path, path.name, Mapping(), open_confined)
    environment = Path(f"/proc/{found.reader.child.pid}/environ").read_bytes()

    assert b"RETUNE_SECRET_KEY" not in environment and b"DATABASE_URL" not in environment
    assert json.loads(next(found.lines()))["messages"][0]["content"] == "text 0"
