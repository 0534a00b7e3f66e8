"""Proof that a conversation becomes the same text and the same tokens in training, in the GGUF file and on a host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from pipelines.trainers.rows import encode
from pipelines.work.chat_template import GUARD, SAMPLES, Messages, guarded, render
from pipelines.work.report import WorkError

__all__ = ["SAMPLES", "Prompt", "open_tokenizer", "prompts"]


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt and the ids that the training tokenizer gives it."""

    text: str
    ids: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, "ids": list(self.ids)}


def open_tokenizer(base: Path, template: str | None = None) -> Any:
    """The base model's tokenizer, without its code; `template` in the place of its own.

    WorkError (permanent) if it does not load or has no template.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as problem:
        raise WorkError(f"The base model's tokenizer does not load: {problem}", permanent=True) from problem
    if template is not None:
        tokenizer.chat_template = template
    if not isinstance(tokenizer.chat_template, str):
        raise WorkError("The base model has no single chat template: choose an instruct model.", permanent=True)
    return tokenizer


def prompts(tokenizer: Any, conversations: Sequence[Messages] = SAMPLES) -> list[Prompt]:
    """Render each conversation as transformers and as we do, guard and all; both must agree to the character."""
    return [_prompt(tokenizer, conversation) for conversation in conversations]


def _prompt(tokenizer: Any, messages: Sequence[Mapping[str, Any]]) -> Prompt:
    try:
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    except (ValueError, TypeError) as problem:
        raise WorkError(f"The chat template does not render: {problem}", permanent=True) from problem
    ours = render(
        guarded(tokenizer.chat_template), messages, bos=tokenizer.bos_token or "", eos=tokenizer.eos_token or ""
    )
    if ours != text or GUARD in ours:
        raise WorkError(
            "The guarded chat template renders another prompt than the training's template.", permanent=True
        )
    return Prompt(text, tuple(encode(tokenizer, text)))
