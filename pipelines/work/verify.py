"""Work `verify`: proves that a GGUF file is what it says, loads, knows its vocabulary, and answers.

spec: {gguf, adapter?, digest?, parity? (of `convert`), golden? ([{messages, max_tokens?}])}.
result: the facts of `quantise` plus {answers: [{text, tokens, finish, ms}], vocabulary, load_seconds}.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.trainers.marker import file_digest
from pipelines.work.gguf_header import check
from pipelines.work.inference.model import Loading, LocalModel
from pipelines.work.quantise import facts
from pipelines.work.report import Report, WorkError

GOLDEN: tuple[Mapping[str, Any], ...] = ({"messages": [{"role": "user", "content": "Hello, can you help me?"}]},)
GOLDEN_TOKENS = 32


def run(spec: Mapping[str, Any], report: Report) -> dict[str, Any]:
    path = Path(spec["gguf"])
    header = check(path)
    _check_digest(path, spec.get("digest"))
    report.progress(0.3, "loading", force=True)
    adapter = Path(spec["adapter"]) if spec.get("adapter") else None
    started = time.perf_counter()
    with LocalModel(path, Loading(adapter=adapter, check_tensors=True)) as model:
        load_seconds = time.perf_counter() - started
        _check_vocabulary(model, spec.get("parity", ()))
        report.progress(0.6, "asking golden prompts", force=True)
        answers = [_answer(model, golden) for golden in spec.get("golden") or GOLDEN]
        vocabulary = model.vocabulary.size
    return {
        **facts(path, header),
        "answers": answers,
        "vocabulary": vocabulary,
        "load_seconds": round(load_seconds, 3),
    }


def _check_digest(path: Path, wanted: str | None) -> None:
    if wanted and file_digest(path) != wanted:
        raise WorkError(f"{path.name} is not the file that was built: its digest differs.", permanent=True)


def _check_vocabulary(model: LocalModel, parity: Iterable[Mapping[str, Any]]) -> None:
    """llama.cpp loads a wrong vocabulary without a word: rows must match and training prompts give the same ids."""
    tokens = model.header.vocabulary
    if tokens is None or model.vocabulary.size != tokens.count:
        raise WorkError(
            f"llama.cpp sees {model.vocabulary.size} tokens, the header has another number.", permanent=True
        )
    for prompt in parity:
        if model.tokenise(prompt["text"]) != prompt["ids"]:
            shown = prompt["text"][:60]
            raise WorkError(f"The file tokenises a prompt otherwise than the training did: {shown!r}.", permanent=True)


def _answer(model: LocalModel, golden: Mapping[str, Any]) -> dict[str, Any]:
    prompt = model.tokenise(model.render(golden["messages"]))
    if not np.isfinite(model.logits(prompt)).all():
        raise WorkError("The model computes NaN or infinite numbers.", permanent=True)
    answer = model.answer_tokens(prompt, golden.get("max_tokens", GOLDEN_TOKENS))
    if not answer.text.strip():
        raise WorkError("The model answers a golden prompt with nothing.", permanent=True)
    return {
        "text": answer.text,
        "tokens": answer.tokens,
        "finish": answer.finish,
        "ms": round(answer.milliseconds, 2),
    }
