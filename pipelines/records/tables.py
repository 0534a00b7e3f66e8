"""Workbooks and Parquet are read in a confined child: what a hostile file does to its reader ends there."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.imports import BadFile, Mapping, Reader, open_reader
from pipelines.work.child import Limits, end, start

TABLES = ("xlsx", "parquet")
# A million rows of a workbook take about two minutes of a processor; pyarrow maps far more than it touches.
LIMITS = Limits(address_space_bytes=4 << 30, cpu_s=3600, file_bytes=16 << 20, threads=1)
SILENT_S, LONGEST_LINE = 300.0, 256 << 20


def open_confined(path: Path, mapping: Mapping) -> Reader:
    return Table(path, mapping) if mapping.format in TABLES else open_reader(path, mapping)


class Table:
    """A reader whose work is done elsewhere; the child ends with the last row, or when nobody wants more.

    `others`: a workbook's further sheets that hold anything.
    """

    columns: tuple[str, ...]
    share: float
    others: tuple[str, ...]

    def __init__(self, path: Path, mapping: Mapping) -> None:
        settings.SCRATCH.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="table-", dir=settings.SCRATCH))
        arguments = ["pipelines.imports.child", mapping.model_dump_json(), str(path.resolve())]
        with (self.folder / "log").open("wb") as log:
            self.child = start(arguments, self.folder, LIMITS, log.fileno(), stdin=subprocess.PIPE)
        self.lines = Lines(self.child)
        self.close = weakref.finalize(self, _end, self.child, self.folder)
        first = self._next()
        self.columns, self.share = tuple(first["columns"]), float(first["share"])
        self.others = tuple(first["others"])

    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        stdin = self.child.stdin
        try:
            if stdin is not None:
                stdin.write(json.dumps(wanted).encode() + b"\n")
                stdin.flush()
            while "rows" in (line := self._next()):
                self.share = float(line["share"])
                yield from line["rows"]
            self.share = 1.0
        finally:
            self.close()

    def _next(self) -> dict[str, Any]:
        line = self.lines.next()
        if line is None or "refused" in line:
            self.close()
            raise BadFile(line["refused"] if line else _broken_off())
        return line


class Lines:
    """JSON lines of a child that may die, fall silent or never end a line: None then."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.pipe = child.stdout.fileno() if child.stdout else -1
        self.rest = bytearray()

    def next(self) -> dict[str, Any] | None:
        while b"\n" not in self.rest:
            if len(self.rest) > LONGEST_LINE or not select.select([self.pipe], [], [], SILENT_S)[0]:
                return None
            piece = os.read(self.pipe, 1 << 20)
            if not piece:
                return None
            self.rest += piece
        line, _newline, self.rest = self.rest.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


def _end(child: subprocess.Popen[bytes], folder: Path) -> None:
    if child.stdin is not None:
        child.stdin.close()
    end(child)
    shutil.rmtree(folder, ignore_errors=True)


def _broken_off() -> str:
    return _("Reading the file took more memory or time than a table may have. Save it as CSV, or in smaller parts.")
