"""An enforced format: the answer is a JSON value of a schema, token by token, as hosts do it by their `format`."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt
from llama_cpp.llama_grammar import json_schema_to_gbnf

from pipelines.work.report import WorkError

# llama_token_data: id, logit, probability.
CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


def gbnf(schema: Mapping[str, Any]) -> str:
    """A JSON schema in llama.cpp's notation of grammars. WorkError (permanent) for one that has none."""
    try:
        return str(json_schema_to_gbnf(json.dumps(schema)))
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, OSError, RecursionError) as problem:
        raise WorkError(f"The JSON schema cannot be enforced: {problem}.", permanent=True) from problem


class Grammar:
    """The state of one answer under a JSON schema; freed with `close`."""

    def __init__(self, vocabulary: Any, schema: Mapping[str, Any]) -> None:
        self._sampler = llama_cpp.llama_sampler_init_grammar(vocabulary, gbnf(schema).encode(), b"root")
        if not self._sampler:
            raise WorkError("llama.cpp does not take the grammar of the enforced format.", permanent=True)

    def close(self) -> None:
        llama_cpp.llama_sampler_free(self._sampler)

    def allows(self, token: int, logit: float) -> bool:
        """The likely token is tried alone: all others are looked at only where it is refused."""
        return bool(np.isfinite(self._applied(np.array([(token, logit, 0.0)], CANDIDATE))["logit"][0]))

    def best(self, logits: npt.NDArray[np.float32]) -> int:
        """The likeliest token that the form admits."""
        candidates = np.zeros(len(logits), CANDIDATE)
        candidates["id"], candidates["logit"] = np.arange(len(logits)), logits
        left = self._applied(candidates)
        return int(left["id"][left["logit"].argmax()])

    def accept(self, token: int) -> None:
        llama_cpp.llama_sampler_accept(self._sampler, token)

    def is_complete(self, text: str) -> bool:
        """Whether the JSON value is whole, so that nothing but blanks could follow."""
        return text.rstrip().endswith(("}", "]")) and _is_json(text)

    def _applied(self, candidates: npt.NDArray[Any]) -> npt.NDArray[Any]:
        data = candidates.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
        array = llama_cpp.llama_token_data_array(data, len(candidates), -1, False)
        llama_cpp.llama_sampler_apply(self._sampler, ctypes.byref(array))
        return candidates[: array.size]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
