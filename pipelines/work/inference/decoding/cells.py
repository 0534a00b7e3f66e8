"""The cells of a context that several sequences share, handed out in one direction only.

llama.cpp gives a new token the next free cell, and attention adds up in the order of cells. A cell that is freed and
used again would bring a sequence's tokens out of order and change its roundings. So nothing is freed while answers are
written: what is done with is moved to a sequence of its own, the bin, and all of it is freed when nobody is at work.
"""

from __future__ import annotations

from typing import Any

import llama_cpp

from pipelines.work.inference.decoding.tokens import forget


class Cells:
    """`total` cells of one context; `used` counts those handed out since the last `clear`."""

    def __init__(self, memory: Any, total: int, bin_sequence: int) -> None:
        self._memory, self.total, self._bin = memory, total, bin_sequence
        self.used = 0

    def share(self, source: int, sequence: int, count: int) -> None:
        """The first `count` tokens of a sequence belong to another one as well; no cell is spent."""
        if count:
            llama_cpp.llama_memory_seq_cp(self._memory, source, sequence, 0, count)

    def throw_away(self, sequence: int, start: int = 0) -> None:
        """A sequence's tokens from a position on are no longer its own."""
        llama_cpp.llama_memory_seq_cp(self._memory, sequence, self._bin, start, -1)
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def empty_bin(self, kept: int) -> None:
        """Free what was thrown away; `kept` cells are still some sequence's."""
        forget(self._memory, self._bin)
        self.used = kept
