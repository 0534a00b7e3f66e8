"""A GGUF file's vocabulary and template: text to ids, ids to text, conversations to prompts."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp

from pipelines.work.chat_template import Messages, render
from pipelines.work.gguf_header import Header
from pipelines.work.inference.native_log import LOG
from pipelines.work.report import WorkError

PIECE_BYTES = 512


class Vocabulary:
    """Valid as long as the model that `handle` was taken from."""

    def __init__(self, handle: Any, header: Header) -> None:
        self.handle = handle
        self._header = header
        self._adds_bos = bool(header.metadata.get("tokenizer.ggml.add_bos_token", False))

    @property
    def size(self) -> int:
        return int(llama_cpp.llama_vocab_n_tokens(self.handle))

    def render(self, messages: Messages) -> str:
        """The prompt by the file's own template."""
        return render(self._header.chat_template, messages, bos=self._special("bos"), eos=self._special("eos"))

    def tokenise(self, text: str, *, is_prompt: bool = True) -> list[int]:
        """Ids of a rendered prompt; a first token is added only where the file asks for it and the text has none.

        An answer (`is_prompt` False) never gets one: training tokenises it apart, too.
        """
        raw, bos = text.encode(), self._special("bos")
        add = is_prompt and self._adds_bos and not (bos and text.startswith(bos))
        room = (llama_cpp.llama_token * (len(raw) + 8))()
        count = llama_cpp.llama_tokenize(self.handle, raw, len(raw), room, len(room), add, True)
        if count < 0:
            raise WorkError("llama.cpp could not tokenise a prompt.", permanent=True)
        return list(room[:count])

    def ends(self, token: int) -> bool:
        """Whether generation stops at this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self.handle, token))

    def text(self, tokens: Sequence[int]) -> str:
        """Pieces are joined as bytes: one character may be spread over several byte tokens."""
        return b"".join(self._piece(token, special=False) for token in tokens).decode("utf-8", "replace")

    def _piece(self, token: int, *, special: bool) -> bytes:
        room = ctypes.create_string_buffer(PIECE_BYTES)
        size = llama_cpp.llama_token_to_piece(self.handle, token, room, PIECE_BYTES, 0, special)
        return room.raw[: max(size, 0)]

    def _special(self, name: str) -> str:
        token = self._header.metadata.get(f"tokenizer.ggml.{name}_token_id")
        return self._piece(token, special=True).decode("utf-8", "replace") if isinstance(token, int) else ""


@contextmanager
def open_vocabulary(path: Path, header: Header) -> Iterator[Vocabulary]:
    """Load the vocabulary alone, also of a file without weights."""
    LOG.install()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise WorkError(f"llama.cpp does not load the vocabulary: {LOG.reason()}.", permanent=True)
    try:
        yield Vocabulary(llama_cpp.llama_model_get_vocab(model), header)
    finally:
        llama_cpp.llama_model_free(model)
