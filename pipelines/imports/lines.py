"""Bytes as lines and text as lines, neither a long file nor a long line ever whole in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from django.utils.translation import gettext as _

from pipelines.imports.errors import BadFile

CHUNK_BYTES = 64 * 1024
MAX_LINE_CHARS = 1_000_000
# One byte more than the longest line that is accepted: the receiver sees that it is too long and quarantines it.
KEPT_LINE_BYTES = MAX_LINE_CHARS + 1


def split_lines(chunks: Iterator[bytes], limit: int = KEPT_LINE_BYTES) -> Iterator[bytes]:
    """Lines without their line break, of at most `limit` bytes: of a longer one only its beginning is given."""
    begun, is_open = bytearray(), False
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            begun += piece[: limit - len(begun)]
            yield bytes(begun).removesuffix(b"\r")
            begun.clear()
        begun += rest[: limit - len(begun)]
        is_open = bool(rest) or (is_open and not whole)
    if is_open:
        yield bytes(begun)


class Counted:
    """An open file that knows how much of it was read."""

    def __init__(self, path: Path) -> None:
        self.size = max(path.stat().st_size, 1)
        self.file: BinaryIO = path.open("rb")

    @property
    def share(self) -> float:
        return 1.0 if self.file.closed else min(1.0, self.file.tell() / self.size)

    def chunks(self) -> Iterator[bytes]:
        with self.file:
            while chunk := self.file.read(CHUNK_BYTES):
                yield chunk

    def text(self, encoding: str) -> io.TextIOWrapper:
        """Text with its line ends as they are. What is no UTF-8 becomes lone surrogates, for its row to be told."""
        name = "utf-8-sig" if encoding in ("", "utf-8") else encoding
        errors = "surrogateescape" if name == "utf-8-sig" else "strict"
        return io.TextIOWrapper(self.file, encoding=name, errors=errors, newline="")


def text_lines(text: io.TextIOWrapper, encoding: str) -> Iterator[str]:
    """Lines with their ends; one that is longer than any row can be refuses the file."""
    number = 0
    try:
        while line := text.readline(MAX_LINE_CHARS + 1):
            number += 1
            if len(line) > MAX_LINE_CHARS:
                sentence = _("Line %(n)s is longer than a million characters. Put each row on a line of its own.")
                raise BadFile(sentence % {"n": number})
            yield line
    except UnicodeError as error:
        words = {"n": number + 1, "encoding": encoding}
        raise BadFile(
            _("Near line %(n)s the file is not %(encoding)s. Choose its encoding, or save it as UTF-8.") % words
        ) from error
