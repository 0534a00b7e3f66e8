"""A GGUF model in this process: tokenise, render, answer greedily. One per job, one thread, closed when done."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import llama_cpp
import numpy as np

from pipelines.work.chat_template import Messages
from pipelines.work.gguf_header import Header, check
from pipelines.work.inference.decoding.grammar import Grammar
from pipelines.work.inference.decoding.tokens import TokenBatch
from pipelines.work.inference.decoding.writing import Ends, Logits, Writing
from pipelines.work.inference.manner import PLAIN, Manner
from pipelines.work.inference.native_log import LOG
from pipelines.work.inference.vocabulary import Vocabulary
from pipelines.work.report import WorkError

# Below this many parameters a second thread costs more in waiting than it brings (209-224 against 83-95 prompts/s).
TINY_PARAMETERS = 50_000_000
BATCH_TOKENS = 512
# From 64 tokens on llama.cpp's attention works in tiles, whose roundings hang on what else is in the batch. Below, and
# in whole groups of four (decoding/tokens.py), a token's logits are the same bits in every company.
EXACT_TOKENS = 60
# And for the tokens that fill groups up and are thrown away: cells beside those of the context.
SPARE_CELLS = 512


@dataclass(frozen=True)
class Answer:
    """One greedy answer. finish: "stop" (end token) or "length"; milliseconds cover prompt and answer, not loading."""

    text: str
    tokens: int
    prompt_tokens: int
    finish: str
    milliseconds: float


@dataclass(frozen=True)
class Loading:
    """How a model is loaded. threads None: as suits its size. check_tensors finds NaN and Inf weights.

    `sequences`: how many conversations the context holds side by side; they share its tokens. `exact`: a prompt gives
    the same bits whatever is computed beside it, for a loss of speed where nothing is.
    """

    context_tokens: int = 2048
    threads: int | None = None
    adapter: Path | None = None
    check_tensors: bool = False
    reuse_prefix: bool = True
    sequences: int = 1
    exact: bool = False


class LocalModel:
    """A loaded model; a context manager. The header is checked before llama.cpp sees the file.

    What it does itself it does in its first sequence; `context` and `memory` are llama.cpp's own handles.
    """

    def __init__(self, path: Path, loading: Loading | None = None) -> None:
        self.loading = loading or Loading()
        self.reuse_prefix = self.loading.reuse_prefix
        self.header = check(path)
        LOG.install()
        self._model = _load(path, self.loading)
        self.vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(self._model), self.header)
        self.context = _open_context(self._model, self.header, self.loading)
        self._adapter = _attach(self._model, self.context, self.loading.adapter)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.batch = _batch(self.loading)
        self._held: list[int] = []
        self._row = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back. The model owns its adapters, so they go with it."""
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self._model)

    @property
    def context_tokens(self) -> int:
        return self.cells - (SPARE_CELLS if self.loading.exact else 0)

    @property
    def cells(self) -> int:
        """Tokens that all sequences together may hold."""
        return int(llama_cpp.llama_n_ctx(self.context))

    def render(self, messages: Messages) -> str:
        """The prompt by the file's own template, the same text that a host makes of it."""
        return self.vocabulary.render(messages)

    def tokenise(self, text: str) -> list[int]:
        """Token ids of a rendered prompt."""
        return self.vocabulary.tokenise(text)

    def answer(self, messages: Messages, max_tokens: int, manner: Manner = PLAIN) -> Answer:
        """Greedy answer to a conversation. WorkError (permanent) if the prompt leaves no room in the context."""
        return self.answer_tokens(self.tokenise(self.render(manner.messages(messages))), max_tokens, manner)

    def answer_tokens(self, prompt: list[int], max_tokens: int, manner: Manner = PLAIN) -> Answer:
        started = time.perf_counter()
        with self.writing(prompt, max_tokens, manner) as writing:
            self._read(prompt)
            while (token := writing.take(self._last_logits())) is not None:
                self._decode([token])
        return answer_of(writing, len(prompt), started)

    @contextmanager
    def writing(self, prompt: list[int], max_tokens: int, manner: Manner = PLAIN) -> Iterator[Writing]:
        """An answer to be written after `prompt`, by the ends and the form of the manner."""
        room = min(manner.room(max_tokens), self.context_tokens - len(prompt))
        if room < 1 or not prompt:
            raise WorkError(
                f"A prompt of {len(prompt)} tokens does not fit a context of {self.context_tokens}.", permanent=True
            )
        grammar = Grammar(self.vocabulary.handle, manner.schema) if manner.schema else None
        try:
            yield Writing(self.vocabulary, Ends(room, manner.stop), grammar)
        finally:
            if grammar is not None:
                grammar.close()

    def forget(self) -> None:
        """Drop what the context holds, so that the next prompt is read whole."""
        llama_cpp.llama_memory_clear(self.memory, False)
        self._held = []

    def logits(self, prompt: list[int]) -> Logits:
        """Logits after the prompt, shape (vocabulary,)."""
        self.forget()
        self._read(prompt)
        return self._last_logits().copy()

    def _read(self, prompt: list[int]) -> None:
        """Bring the context to hold exactly `prompt`, keeping the longest prefix that it holds already."""
        keep = common_prefix(self._held, prompt[:-1]) if self.reuse_prefix else 0
        if not llama_cpp.llama_memory_seq_rm(self.memory, 0, keep, -1):
            self.forget()  # recurrent models cannot drop a tail
            keep = 0
        self._held = prompt[:keep]
        for start in range(keep, len(prompt), self.batch.size):
            self._decode(prompt[start : start + self.batch.size])

    def _decode(self, tokens: list[int]) -> None:
        self.batch.clear()
        for at, token in enumerate(tokens, start=1):
            self._row = self.batch.add(token, len(self._held) + at - 1, 0, wants_logits=at == len(tokens))
        self.batch.decode(self.context)
        self._held += tokens

    def _last_logits(self) -> Logits:
        return self.logits_of(self._row)

    def logits_of(self, row: int) -> Logits:
        """Logits after a row of the last batch, in llama.cpp's own memory: valid until the next one."""
        pointer = llama_cpp.llama_get_logits_ith(self.context, row)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary.size,))


def answer_of(writing: Writing, prompt_tokens: int, started: float) -> Answer:
    """`started`: of time.perf_counter."""
    milliseconds = (time.perf_counter() - started) * 1e3
    return Answer(writing.text, len(writing.tokens), prompt_tokens, writing.finish, milliseconds)


def common_prefix(held: list[int], wanted: list[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(held, wanted, strict=False)) if a != b), min(len(held), len(wanted)))


def _load(path: Path, loading: Loading) -> Any:
    params = llama_cpp.llama_model_default_params()
    params.check_tensors = loading.check_tensors
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise WorkError(f"llama.cpp does not load {path.name}: {LOG.reason()}.", permanent=True)
    return model


def _open_context(model: Any, header: Header, loading: Loading) -> Any:
    params = llama_cpp.llama_context_default_params()
    trained = header.metadata[f"{header.architecture}.context_length"]
    params.n_ctx = min(loading.context_tokens, trained if isinstance(trained, int) else loading.context_tokens)
    params.n_ctx += SPARE_CELLS if loading.exact else 0
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.n_seq_max = loading.sequences + loading.exact
    params.kv_unified = params.n_seq_max > 1
    params.n_threads = params.n_threads_batch = loading.threads or threads_for(header)
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise WorkError(f"llama.cpp could not open a context: {LOG.reason()}.", permanent=False)
    return context


def _batch(loading: Loading) -> TokenBatch:
    return TokenBatch(EXACT_TOKENS, loading.sequences) if loading.exact else TokenBatch(BATCH_TOKENS)


def threads_for(header: Header) -> int:
    """Threads that serve a model best: one for tiny ones, else one per usable core."""
    return 1 if header.parameter_count < TINY_PARAMETERS else len(os.sched_getaffinity(0))


def _attach(model: Any, context: Any, adapter: Path | None) -> Any:
    """Load and apply a LoRA adapter. Its pointer is tested: a NULL one handed on crashes the process."""
    if adapter is None:
        return None
    check(adapter, expect="adapter")
    pointer = llama_cpp.llama_adapter_lora_init(model, str(adapter).encode())
    if not pointer:
        raise WorkError(f"llama.cpp does not load the adapter {adapter.name}: {LOG.reason()}.", permanent=True)
    adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(pointer)
    if llama_cpp.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0)):
        raise WorkError(f"llama.cpp refused the adapter {adapter.name}: {LOG.reason()}.", permanent=True)
    return pointer
