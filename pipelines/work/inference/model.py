"""A GGUF model in this process: tokenise, render, answer greedily. One per job, one thread, closed when done."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import llama_cpp
import numpy as np
import numpy.typing as npt

from pipelines.work.chat_template import Messages
from pipelines.work.gguf_header import Header, check
from pipelines.work.inference.native_log import LOG
from pipelines.work.inference.vocabulary import Vocabulary
from pipelines.work.report import WorkError

# Below this many parameters a second thread costs more in waiting than it brings (209-224 against 83-95 prompts/s).
TINY_PARAMETERS = 50_000_000
BATCH_TOKENS = 512


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
    """How a model is loaded. threads None: as suits its size. check_tensors finds NaN and Inf weights."""

    context_tokens: int = 2048
    threads: int | None = None
    adapter: Path | None = None
    check_tensors: bool = False
    reuse_prefix: bool = True


class LocalModel:
    """A loaded model with one sequence; a context manager. The header is checked before llama.cpp sees the file."""

    def __init__(self, path: Path, loading: Loading | None = None) -> None:
        self.loading = loading or Loading()
        self.reuse_prefix = self.loading.reuse_prefix
        self.header = check(path)
        LOG.install()
        self._model = _load(path, self.loading)
        self.vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(self._model), self.header)
        self._context = _open_context(self._model, self.header, self.loading)
        self._adapter = _attach(self._model, self._context, self.loading.adapter)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._held: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back. The model owns its adapters, so they go with it."""
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)

    @property
    def context_tokens(self) -> int:
        return int(llama_cpp.llama_n_ctx(self._context))

    def render(self, messages: Messages) -> str:
        """The prompt by the file's own template, the same text that a host makes of it."""
        return self.vocabulary.render(messages)

    def tokenise(self, text: str) -> list[int]:
        """Token ids of a rendered prompt."""
        return self.vocabulary.tokenise(text)

    def answer(self, messages: Messages, max_tokens: int) -> Answer:
        """Greedy answer to a conversation. WorkError (permanent) if the prompt leaves no room in the context."""
        return self.answer_tokens(self.tokenise(self.render(messages)), max_tokens)

    def answer_tokens(self, prompt: list[int], max_tokens: int) -> Answer:
        started = time.perf_counter()
        room = min(max_tokens, self.context_tokens - len(prompt))
        if room < 1 or not prompt:
            raise WorkError(
                f"A prompt of {len(prompt)} tokens does not fit a context of {self.context_tokens}.", permanent=True
            )
        self._read(prompt)
        tokens, finish = self._generate(room)
        milliseconds = (time.perf_counter() - started) * 1e3
        return Answer(self.vocabulary.text(tokens), len(tokens), len(prompt), finish, milliseconds)

    def forget(self) -> None:
        """Drop what the context holds, so that the next prompt is read whole."""
        llama_cpp.llama_memory_clear(self._memory, False)
        self._held = []

    def logits(self, prompt: list[int]) -> npt.NDArray[np.float32]:
        """Logits after the prompt, shape (vocabulary,)."""
        self.forget()
        self._read(prompt)
        return self._last_logits().copy()

    def _read(self, prompt: list[int]) -> None:
        """Bring the context to hold exactly `prompt`, keeping the longest prefix that it holds already."""
        keep = _common_prefix(self._held, prompt[:-1]) if self.reuse_prefix else 0
        if not llama_cpp.llama_memory_seq_rm(self._memory, 0, keep, -1):
            self.forget()  # recurrent models cannot drop a tail
            keep = 0
        self._held = prompt[:keep]
        for start in range(keep, len(prompt), BATCH_TOKENS):
            self._decode(prompt[start : start + BATCH_TOKENS])

    def _decode(self, tokens: list[int]) -> None:
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        status = llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(array, len(tokens)))
        if status != 0:
            raise WorkError(f"llama.cpp could not compute (status {status}): {LOG.reason()}.", permanent=False)
        self._held += tokens

    def _generate(self, room: int) -> tuple[list[int], str]:
        tokens: list[int] = []
        while len(tokens) < room:
            token = int(self._last_logits().argmax())
            if self.vocabulary.ends(token):
                return tokens, "stop"
            tokens.append(token)
            if len(tokens) < room:
                self._decode([token])
        return tokens, "length"

    def _last_logits(self) -> npt.NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary.size,))


def _common_prefix(held: list[int], wanted: list[int]) -> int:
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
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.n_threads = params.n_threads_batch = loading.threads or threads_for(header)
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise WorkError(f"llama.cpp could not open a context: {LOG.reason()}.", permanent=False)
    return context


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
