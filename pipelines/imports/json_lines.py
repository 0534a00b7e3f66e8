"""JSONL: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipelines.imports.lines import Counted, split_lines, text_lines
from pipelines.imports.mapping import Mapping


class JsonLines:
    """Lines as they stand; a broken or overlong one is judged like one that came by the API."""

    columns: tuple[str, ...] = ()

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self.source, self.encoding = Counted(path), mapping.encoding

    @property
    def share(self) -> float:
        return self.source.share

    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[bytes]:
        if self.encoding in ("", "utf-8"):
            yield from split_lines(self.source.chunks())
            return
        with self.source.text(self.encoding) as text:
            for line in text_lines(text, self.encoding):
                yield line.strip().encode("utf-8", "surrogatepass")
