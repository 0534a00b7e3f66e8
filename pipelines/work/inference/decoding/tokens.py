"""llama.cpp's batch: tokens of several sequences, each with its position, computed in one call."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from itertools import islice
from typing import Any

import llama_cpp

from pipelines.work.inference.native_log import LOG
from pipelines.work.report import WorkError

# llama.cpp's kernels take tokens in groups of four, and what is left over, or fewer than eight, by other roundings.
GROUP, LEAST = 4, 8


def _to_whole_groups(count: int) -> int:
    return max(LEAST - count, -count % GROUP)


def forget(memory: Any, sequence: int) -> None:
    """Free what a sequence holds."""
    llama_cpp.llama_memory_seq_rm(memory, sequence, -1, -1)


class TokenBatch:
    """Room for `size` tokens, filled again and again. The arrays are kept here: llama.cpp only points into them.

    `scratch` is a sequence of nobody's, whose tokens fill a batch up to whole groups (Loading.exact); `discard` takes
    what it then holds out of the memory.
    """

    def __init__(self, size: int, scratch: int | None = None, discard: Callable[[Any, Any], None] = forget) -> None:
        self.size, self._scratch, self._discard = size, scratch, discard
        self._tokens = (llama_cpp.llama_token * size)()
        self._positions = (ctypes.c_int32 * size)()
        self._wants = (ctypes.c_int8 * size)()
        self._counts = (ctypes.c_int32 * size)(*[1] * size)
        self._sequences = (ctypes.c_int32 * size)()
        place = ctypes.addressof(self._sequences)
        pointer = ctypes.POINTER(ctypes.c_int32)
        self._pointers = (pointer * size)(*(ctypes.cast(place + 4 * i, pointer) for i in range(size)))
        self.count = 0

    @property
    def room(self) -> int:
        return self.size - self.count

    def clear(self) -> None:
        self.count = 0

    def add(self, token: int, position: int, sequence: int, *, wants_logits: bool) -> int:
        """The token's row, under which its logits are found."""
        row = self.count
        self._tokens[row], self._positions[row] = token, position
        self._sequences[row], self._wants[row] = sequence, wants_logits
        self.count += 1
        return row

    def decode(self, context: Any) -> int:
        """Compute what was added, and give how many tokens that were. The logits stay until the next call."""
        if self._scratch is None:
            self._compute(context)
            return self.count
        lacking = _to_whole_groups(self.count)
        for position in range(lacking):
            self.add(self._tokens[0], position, self._scratch, wants_logits=False)
        self._fill_up_wants()
        self._compute(context)
        if lacking:
            self._discard(llama_cpp.llama_get_memory(context), self._scratch)
        return self.count

    def _fill_up_wants(self) -> None:
        """The last layer is computed only where logits are wanted, so those come in whole groups as well."""
        wanted = sum(self._wants[: self.count])
        others = (row for row in range(self.count - 1, -1, -1) if not self._wants[row])
        for row in islice(others, _to_whole_groups(wanted) if wanted else 0):
            self._wants[row] = 1

    def _compute(self, context: Any) -> None:
        batch = llama_cpp.llama_batch()
        batch.n_tokens, batch.token, batch.pos = self.count, self._tokens, self._positions
        batch.n_seq_id, batch.seq_id, batch.logits = self._counts, self._pointers, self._wants
        status = llama_cpp.llama_decode(context, batch)
        if status != 0:
            raise WorkError(f"llama.cpp could not compute (status {status}): {LOG.reason()}.", permanent=False)
