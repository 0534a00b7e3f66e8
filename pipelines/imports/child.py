"""The child's side of a table: reads one file in a confined process and hands its rows out as JSON lines.

`python -m pipelines.imports.child <mapping> <path>` writes {columns, others}, reads the wanted ones from one line of
its input, then writes {rows, share} some at a time, and at last {end} or {refused}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings

from pipelines.imports import BadFile, Mapping, Reader, open_reader
from pipelines.imports.mapping import text_of

AT_ONCE = 100


def main(mapping: str, path: str) -> None:
    settings.configure(USE_I18N=False)  # Sentences as they stand; nothing of the installation is read.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # What a library prints is no row.
    for line in _said(Mapping.model_validate_json(mapping), Path(path)):
        out.write(json.dumps(line, default=text_of) + "\n")
        out.flush()


def _said(mapping: Mapping, path: Path) -> Iterator[dict[str, Any]]:
    try:
        reader = open_reader(path, mapping)
        yield {"columns": reader.columns, "share": reader.share, "others": getattr(reader, "others", ())}
        yield from _rows(reader, tuple(json.loads(sys.stdin.readline())))
    except BadFile as refused:
        yield {"refused": str(refused)}
    else:
        yield {"end": True}


def _rows(reader: Reader, wanted: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    rows = reader.rows(wanted)
    while some := list(islice(rows, AT_ONCE)):
        yield {"rows": some, "share": reader.share}


if __name__ == "__main__":
    main(*sys.argv[1:])
