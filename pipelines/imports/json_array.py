"""A JSON array of objects, element by element; or one object."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext as _

from pipelines.imports.errors import BadFile
from pipelines.imports.lines import MAX_LINE_CHARS, Counted
from pipelines.imports.mapping import Mapping

SPACE = " \t\r\n"
PIECE_CHARS = 64 * 1024


class JsonArray:
    """Only the element at hand is in memory. An array that breaks off refuses the file: nobody knows what was meant."""

    columns: tuple[str, ...] = ()

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self.source, self.encoding = Counted(path), mapping.encoding
        self.number = 0

    @property
    def share(self) -> float:
        return self.source.share

    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[bytes]:
        with self.source.text(self.encoding) as text:
            window = Window(text, self.encoding)
            if window.peek() != "[":
                yield window.element(1).encode("utf-8", "surrogateescape")
                window.end()
                return
            window.take("[")
            yield from self._elements(window)

    def _elements(self, window: Window) -> Iterator[bytes]:
        while window.peek() != "]":
            if self.number:
                window.take(",", after=self.number)
            self.number += 1
            yield window.element(self.number).encode("utf-8", "surrogateescape")
        window.take("]")
        window.end()


class Window:
    """The part of the text that is being looked at."""

    def __init__(self, text: io.TextIOWrapper, encoding: str) -> None:
        self.text, self.encoding = text, encoding
        self.buffer, self.at, self.is_whole = "", 0, False
        self.decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self.at < len(self.buffer) and self.buffer[self.at] in SPACE:
                self.at += 1
            if self.at < len(self.buffer) or not self._more():
                return self.buffer[self.at : self.at + 1]

    def take(self, wanted: str, after: int = 0) -> None:
        found = self.peek()
        if found != wanted:
            words = {"wanted": wanted, "found": found or _("the end of the file"), "n": after}
            raise BadFile(
                _("After element %(n)s comes %(found)s where %(wanted)s should stand: no JSON array.") % words
            )
        self.at += 1

    def element(self, number: int) -> str:
        self.peek()
        while True:
            try:
                _value, end = self.decoder.raw_decode(self.buffer, self.at)
            except RecursionError as error:
                raise BadFile(_("Element %(n)s is nested too deeply to be a row.") % {"n": number}) from error
            except ValueError as error:
                if not self._grow(number):
                    words = {"n": number, "why": error}
                    raise BadFile(_("Element %(n)s is not JSON: %(why)s.") % words) from error
                continue
            # A number that ends where the window does may go on behind it.
            if end < len(self.buffer) or not self._grow(number):
                found, self.at = self.buffer[self.at : end], end
                return found

    def end(self) -> None:
        if self.peek():
            raise BadFile(_("Something stands behind the end of the JSON. One object a line? Then choose JSONL."))

    def _grow(self, number: int) -> bool:
        if len(self.buffer) - self.at > MAX_LINE_CHARS:
            sentence = _("Element %(n)s does not end within a million characters: no row is that long.")
            raise BadFile(sentence % {"n": number})
        return self._more(len(self.buffer) - self.at)

    def _more(self, least: int = 0) -> bool:
        """Reads at least as much as is there already, so that a long element is looked at a few times only."""
        if self.is_whole:
            return False
        try:
            piece = self.text.read(max(PIECE_CHARS, least))
        except UnicodeError as error:
            words = {"encoding": self.encoding}
            raise BadFile(
                _("The file is not %(encoding)s. Choose its encoding, or save it as UTF-8.") % words
            ) from error
        self.is_whole = not piece
        self.buffer, self.at = self.buffer[self.at :] + piece, 0
        return bool(piece)
