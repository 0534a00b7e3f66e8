"""Answers and times by the worker's own engine: llama.cpp on the very files that ship."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import llama_cpp

from pipelines.trainers.marker import file_digest
from pipelines.work.gguf_header import Header, check
from pipelines.work.inference.answers import Engine, LoopEngine
from pipelines.work.inference.batch import BatchEngine, sequences_for
from pipelines.work.inference.cases import Case
from pipelines.work.inference.latency import Ask
from pipelines.work.inference.manner import Manner
from pipelines.work.inference.model import Loading, LocalModel

# Their state cannot be cut back to an earlier token, so nothing can be shared or guessed.
RECURRENT = ("mamba", "rwkv", "jamba", "falcon-h1", "granitehybrid", "lfm2", "nemotron_h", "plamo2")


class Worker:
    """`arms`: {arm: path of its GGUF}; `adapters`: {arm: path of a LoRA}; `manners`: how each is asked."""

    def __init__(self, arms: Mapping[str, Path], manners: Mapping[str, Manner], spec: Mapping[str, Any]) -> None:
        self.arms = tuple(arms)
        self.label = f"llama-cpp-python {llama_cpp.__version__}"
        self._paths, self._manners = arms, manners
        self._adapters = {arm: Path(path) for arm, path in spec.get("adapters", {}).items()}
        self.digests: Mapping[str, str] = {arm: self._digest(arm) for arm in arms}
        self._context_tokens, self._threads = spec.get("context_tokens", 2048), spec.get("threads")

    def _digest(self, arm: str) -> str:
        """Of what answers: the file, and its LoRA where there is one."""
        files = [self._paths[arm], *([self._adapters[arm]] if arm in self._adapters else [])]
        return "+".join(file_digest(path) for path in files)

    @contextmanager
    def engine(self, arm: str, turn: int) -> Iterator[Engine]:
        """Side by side in the first run. The second asks alone and reads each prompt whole, by the kernels that a host
        uses: an answer that hangs on its company, or on a rounding, shows as flaky."""
        header = check(self._paths[arm])
        side_by_side = turn == 1 and not is_recurrent(header)
        sequences = sequences_for(header.parameter_count) if side_by_side else 1
        terms = {"sequences": sequences, "exact": side_by_side, "reuse_prefix": side_by_side}
        with self._open(arm, **terms) as model:
            manner = self._manners[arm]
            yield BatchEngine(model, manner) if side_by_side else LoopEngine(model, manner)

    @contextmanager
    def clocks(self, arms: Sequence[str]) -> Iterator[list[Ask]]:
        """Each arm loaded beside the others; one call of an Ask reads the prompt whole."""
        with ExitStack() as stack:
            models = [stack.enter_context(self._open(arm, reuse_prefix=False)) for arm in arms]
            yield [_clock(model, self._manners[arm]) for model, arm in zip(models, arms, strict=True)]

    def _open(self, arm: str, **terms: Any) -> LocalModel:
        loading = {"context_tokens": self._context_tokens, "threads": self._threads, "adapter": self._adapters.get(arm)}
        return LocalModel(self._paths[arm], Loading(**loading, **terms))


def is_recurrent(header: Header) -> bool:
    return header.architecture.startswith(RECURRENT)


def _clock(model: LocalModel, manner: Manner) -> Ask:
    engine = LoopEngine(model, manner)

    def ask(case: Case) -> float:
        model.forget()
        return engine.answer(case).milliseconds

    return ask
