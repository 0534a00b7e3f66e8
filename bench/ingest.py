"""How fast a file of examples becomes rows, and how little memory it takes however long the file is.

rows_per_s: a JSONL file of a million chat rows through the whole import: read, checked, digested, stored (SQLite).
peak_mb_1m_rows: the most memory of the process that does it. With --rows N another number of rows is read; the memory
is then peak_mb only. `csv_rows_per_s`, `xlsx_rows_per_s`, `parquet_rows_per_s`: smaller files of each format.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Figure, at_most, report

TARGETS = {"peak_mb_1m_rows": at_most(300)}
MILLION = 1_000_000
OTHER_ROWS = 20_000
LABELS = [f"intent {n}" for n in range(77)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--rows", type=int, default=MILLION)
    parser.add_argument("--read", type=Path, help="the file that a child process imports")
    given = parser.parse_args()
    if given.read:
        print(json.dumps(import_file(given.read)))
        return
    figures: dict[str, Figure] = {"rows_per_s": None, "peak_mb_1m_rows": None}
    with tempfile.TemporaryDirectory(prefix="retune-bench-") as folder:
        rate, peak_mb = in_a_child(write_jsonl(Path(folder) / "rows.jsonl", given.rows), given.rows)
        figures |= {"rows_per_s": rate, "rows": given.rows}
        if given.rows == MILLION:
            figures["peak_mb_1m_rows"] = peak_mb
        else:
            figures |= {"peak_mb_1m_rows_why": f"only {given.rows} rows were read", "peak_mb": peak_mb}
        for ending, write in WRITERS.items():
            path = write(Path(folder) / f"rows.{ending}", OTHER_ROWS)
            figures[f"{ending}_rows_per_s"], figures[f"{ending}_peak_mb"] = in_a_child(path, OTHER_ROWS)
    report("ingest", figures, TARGETS, given.json)


def rows(count: int) -> Iterator[tuple[str, str]]:
    """(question, label), about 20 words each, no two alike."""
    words = [f"word{n}" for n in range(5000)]
    draw = random.Random(0)
    for n in range(count):
        yield f"{' '.join(draw.choices(words, k=20))} {n}", draw.choice(LABELS)


def write_jsonl(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for text, label in rows(count):
            turns = [{"role": "user", "content": text}, {"role": "assistant", "content": label}]
            file.write(json.dumps({"messages": turns}) + "\n")
    return path


def write_csv(path: Path, count: int) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "category"), *rows(count)])
    return path


def write_xlsx(path: Path, count: int) -> Path:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("rows")
    for row in [("text", "category"), *rows(count)]:
        sheet.append(row)
    book.save(path)
    return path


def write_parquet(path: Path, count: int) -> Path:
    import pyarrow
    import pyarrow.parquet

    texts, labels = zip(*rows(count), strict=True)
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "label": labels}), path)
    return path


WRITERS = {"csv": write_csv, "xlsx": write_xlsx, "parquet": write_parquet}


def in_a_child(path: Path, count: int) -> tuple[float, float]:
    """(rows a second, peak MB) of an import in a process and database of its own."""
    with tempfile.TemporaryDirectory(prefix="retune-bench-", dir=path.parent) as var:
        env = os.environ | {"RETUNE_VAR": var, "RETUNE_ENGINE": "eager", "RETUNE_LOG_LEVEL": "ERROR"}
        env.setdefault("DJANGO_SETTINGS_MODULE", "agency.settings")
        order = [sys.executable, "-m", "bench.ingest", "--read", str(path)]
        out = subprocess.run(order, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
    said = json.loads(out.splitlines()[-1])
    if said["rows"] != count or said["error"]:
        raise SystemExit(f"{path.name}: {said['rows']} of {count} rows were stored. {said['error']}")
    return count / said["seconds"], said["peak_mb"]


def import_file(path: Path) -> dict[str, Figure]:
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from pipelines.actions import imports
    from pipelines.imports import Mapping
    from pipelines.models import Example
    from tests import factories

    call_command("migrate", verbosity=0)
    pipeline = factories.make_pipeline(criteria={"output": {"kind": "label", "labels": LABELS}})
    with factories.inside(pipeline):
        begun = time.perf_counter()
        chunks = imports.chunks_of(path)
        draft = imports.stage_file(pipeline, "bench", path.name, chunks, actor="bench", now=timezone.now())
        batch = imports.start_import(draft, Mapping(), now=timezone.now(), by_worker=False)
        imports.read_file(batch.pk, timezone.now)
        seconds = time.perf_counter() - begun
        batch.refresh_from_db()
        stored = Example.objects.filter(batch=batch, state="ready").count()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": stored, "seconds": seconds, "peak_mb": peak_mb, "error": batch.error}


if __name__ == "__main__":
    main()
