"""Training rows: conversations as token ids, split where the answer begins, dealt into batches of like length."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.trainers import TrainerError

# Batches are cut from this many at a time sorted by length: little padding, and the order stays nearly random.
BATCHES_SORTED_TOGETHER = 16


@dataclass(frozen=True)
class TokenRow:
    """Token ids of one conversation; the loss is taken on `tokens[answer_at:]` only."""

    tokens: tuple[int, ...]
    answer_at: int


def read_conversations(path: Path) -> Iterator[list[Mapping[str, Any]]]:
    """The `messages` of each line; a line that is no conversation ending with the assistant is a permanent error."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            messages = json.loads(line).get("messages") if line.strip() else None
            if messages and len(messages) > 1 and messages[-1].get("role") == "assistant":
                yield messages
            elif line.strip():
                raise TrainerError(f"Line {number} of {path.name} does not end with an answer.", permanent=True)


def tokenise(
    tokenizer: Any, conversations: Iterable[list[Mapping[str, Any]]], max_tokens: int
) -> tuple[list[TokenRow], int]:
    """Rows that fit `max_tokens`, and how many did not. A cut row would teach an answer to half a question."""
    rows = [_row(tokenizer, messages) for messages in conversations]
    fitting = [row for row in rows if len(row.tokens) <= max_tokens]
    if not fitting:
        raise TrainerError(f"None of {len(rows)} rows fits {max_tokens} tokens: raise max_tokens.", permanent=True)
    return fitting, len(rows) - len(fitting)


def _row(tokenizer: Any, messages: list[Mapping[str, Any]]) -> TokenRow:
    prompt_text = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    whole_text = tokenizer.apply_chat_template(messages, tokenize=False)
    if not whole_text.startswith(prompt_text):
        raise TrainerError("The chat template writes an answer other than it asks for one.", permanent=True)
    # Apart, as serving does: tokenised together, "\n" and "{" may become one token that no prompt ever ends with.
    prompt = encode(tokenizer, prompt_text)
    answer: list[int] = tokenizer(whole_text[len(prompt_text) :], add_special_tokens=False)["input_ids"]
    tokens = _end_at_eos([*prompt, *answer], len(prompt), tokenizer.eos_token_id)
    return TokenRow(tuple(tokens), len(prompt))


def encode(tokenizer: Any, text: str) -> list[int]:
    """Ids of a rendered text; special tokens are added only where the template has not written them."""
    has_bos = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    ids: list[int] = tokenizer(text, add_special_tokens=not has_bos)["input_ids"]
    return ids


def _end_at_eos(tokens: list[int], answer_at: int, eos: int | None) -> list[int]:
    """End the row with the end token: generation stops there, so what a template writes after it is never asked for."""
    if eos is None:
        return tokens
    answer = tokens[answer_at:]
    if eos not in answer:
        return [*tokens, eos]
    return tokens[: answer_at + answer.index(eos) + 1]


def batches(rows: Sequence[TokenRow], size: int, seed: int, epoch: int) -> list[list[TokenRow]]:
    """The batches of one epoch, the same for the same (seed, epoch): a resumed training meets the same rows."""
    order = random.Random(f"{seed}/{epoch}")
    shuffled = list(rows)
    order.shuffle(shuffled)
    window = size * BATCHES_SORTED_TOGETHER
    dealt: list[list[TokenRow]] = []
    for start in range(0, len(shuffled), window):
        near = sorted(shuffled[start : start + window], key=lambda row: len(row.tokens))
        dealt += [near[i : i + size] for i in range(0, len(near), size)]
    order.shuffle(dealt)
    return dealt


def hold_back(rows: Sequence[TokenRow], share: float, seed: int) -> tuple[list[TokenRow], list[TokenRow]]:
    """(training rows, held-back rows): at least one on either side, drawn by the seed."""
    if len(rows) < 2:
        raise TrainerError("Early stopping needs at least two rows.", permanent=True)
    shuffled = list(rows)
    random.Random(f"{seed}/held back").shuffle(shuffled)
    count = min(max(1, round(share * len(rows))), len(rows) - 1)
    return shuffled[count:], shuffled[:count]
