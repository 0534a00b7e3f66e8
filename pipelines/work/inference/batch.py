"""Continuous batching: many conversations in one context, each step computing the next tokens of all of them.

A system prompt that cases share is read once; guessed tokens are verified in the same step (decoding/guesses.py). On a
model that was loaded `exact` the answers are those of the loop to the last token (docs/why/exact-batches.md).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import groupby

from pipelines.work.inference.cases import Case
from pipelines.work.inference.decoding.cells import Cells
from pipelines.work.inference.decoding.guesses import MOST_GUESSED, Guesses
from pipelines.work.inference.decoding.tokens import LEAST, TokenBatch
from pipelines.work.inference.decoding.writing import Writing
from pipelines.work.inference.manner import PLAIN, Manner
from pipelines.work.inference.model import (
    EXACT_TOKENS,
    TINY_PARAMETERS,
    Answer,
    LocalModel,
    answer_of,
    common_prefix,
)
from pipelines.work.report import WorkError

# Two are slower than one; beyond these nothing is gained (docs/LOG.md).
SLOTS, TINY_SLOTS = 16, 8
PREFIX = 0  # the sequence that holds what a group of cases shares


@dataclass
class Asked:
    """A case with its prompt as ids, `room` for the answer, and the ids of the answer that it hopes for."""

    case: Case
    prompt: list[int]
    room: int
    expected: list[int]


@dataclass(eq=False)
class Slot:
    """One sequence at work: `todo` is not yet computed; from its index `tail` on logits are wanted, all in one step."""

    asked: Asked
    sequence: int
    opened: AbstractContextManager[Writing]
    held: int
    todo: list[int]
    tail: int
    started: float
    writing: Writing = field(init=False)
    rows: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writing = self.opened.__enter__()

    @property
    def cells_to_come(self) -> int:
        return len(self.todo) + self.writing.room


class BatchEngine:
    """Answers cases side by side. The model must have been loaded with `sequences_for` many."""

    def __init__(self, model: LocalModel, manner: Manner = PLAIN) -> None:
        self._model, self._manner = model, manner
        bin_sequence = model.loading.sequences - 1
        self._cells = Cells(model.memory, model.cells, bin_sequence)
        scratch = model.loading.sequences if model.loading.exact else None
        self._batch = TokenBatch(EXACT_TOKENS, scratch, lambda _memory, sequence: self._cells.throw_away(sequence))
        self._guesses = Guesses(lambda text: model.vocabulary.tokenise(text, is_prompt=False))
        self._free = list(range(bin_sequence - 1, PREFIX, -1))
        self._slots: list[Slot] = []
        self._shared: list[int] = []

    def answers(self, cases: Sequence[Case]) -> Iterator[tuple[Case, Answer]]:
        """Group by group, each sharing a system prompt."""
        asked = sorted((self._ask(case) for case in cases), key=_system)
        for _system_prompt, members in groupby(asked, key=_system):
            waiting = deque(members)
            self._share([one.prompt for one in waiting])
            while waiting or self._slots:
                for slot in self._turn(waiting):
                    yield slot.asked.case, answer_of(slot.writing, len(slot.asked.prompt), slot.started)

    def _turn(self, waiting: deque[Asked]) -> Iterator[Slot]:
        """Fill the free slots and take one step; gives the slots whose answer ended with it."""
        if not self._slots:
            self._cells.empty_bin(len(self._shared))
        while waiting and self._fits(waiting[0]):
            self._begin(waiting.popleft())
        yield from self._step()

    def _ask(self, case: Case) -> Asked:
        try:
            prompt = self._model.tokenise(self._model.render(self._manner.messages(case.messages)))
            with self._model.writing(prompt, case.max_tokens, self._manner) as writing:
                return Asked(case, prompt, writing.room, self._guesses.expected(case.expected))
        except WorkError as problem:
            raise WorkError(f"Case {case.id}: {problem}", permanent=problem.permanent) from problem

    def _share(self, prompts: list[list[int]]) -> None:
        """Read once what all of them begin with; at least one token of each is left, whose logits are wanted."""
        self._model.forget()
        first, last = min(prompts), max(prompts)
        self._shared = first[: min(common_prefix(first, last), len(first) - 1)] if len(prompts) > 1 else []
        for start in range(0, len(self._shared), self._batch.size):
            self._batch.clear()
            for at, token in enumerate(self._shared[start : start + self._batch.size], start):
                self._batch.add(token, at, PREFIX, wants_logits=False)
            self._batch.decode(self._model.context)

    def _fits(self, asked: Asked) -> bool:
        """Whether a sequence is free, and the context has cells for the longest answers that may come.

        A wrong guess and the tokens that fill a batch up cost cells, too.
        """
        if not self._free or not self._slots:
            return bool(self._free)
        own = len(asked.prompt) - len(self._shared) + asked.room + MOST_GUESSED
        rooms = [asked.room, *(slot.writing.room for slot in self._slots)]
        to_come = own + sum(slot.cells_to_come for slot in self._slots) + LEAST * max(rooms)
        return self._cells.used + to_come <= self._cells.total

    def _begin(self, asked: Asked) -> None:
        sequence, kept = self._free.pop(), len(self._shared)
        self._cells.share(PREFIX, sequence, kept)
        opened = self._model.writing(asked.prompt, asked.case.max_tokens, self._manner)
        tail = len(asked.prompt) - 1 - kept
        slot = Slot(asked, sequence, opened, kept, asked.prompt[kept:], tail, time.perf_counter())
        slot.todo += self._guess(slot)
        self._slots.append(slot)

    def _guess(self, slot: Slot) -> list[int]:
        guessed = self._guesses.guess(slot.asked.expected, slot.writing.tokens, slot.writing.room - 1)
        to_come = sum(other.cells_to_come for other in self._slots) + LEAST * slot.writing.room
        return guessed if self._cells.used + to_come + len(guessed) <= self._cells.total else []

    def _step(self) -> Iterator[Slot]:
        """One decode over all that fits into a batch."""
        self._batch.clear()
        # Answers under way come first: they are few tokens each, and a free slot is worth more than a prompt half read.
        for slot in sorted(self._slots, key=lambda slot: slot.tail > 0):
            self._load(slot)
        if self._cells.used + self._batch.count + LEAST > self._cells.total:
            self._cells.empty_bin(sum(slot.held for slot in self._slots))
        self._cells.used += self._batch.decode(self._model.context)
        for slot in [slot for slot in self._slots if slot.rows]:
            if not self._go_on(slot):
                self._finish(slot)
                yield slot

    def _load(self, slot: Slot) -> None:
        """As much of a slot's tokens as the batch has room for; the tail only whole."""
        room, slot.rows = self._batch.room, []
        whole = len(slot.todo) <= room
        count = len(slot.todo) if whole else min(room, slot.tail)
        for at, token in enumerate(slot.todo[:count]):
            wanted = whole and at >= slot.tail
            row = self._batch.add(token, slot.held + at, slot.sequence, wants_logits=wanted)
            slot.rows += [row] if wanted else []
        slot.held += count
        if not whole:
            slot.todo, slot.tail = slot.todo[count:], slot.tail - count

    def _go_on(self, slot: Slot) -> bool:
        """Take the tokens that the model chose, as far as they were guessed; False when the answer has ended."""
        guessed, right, token = slot.todo[slot.tail + 1 :], 0, None
        for position, row in enumerate(slot.rows):
            token = slot.writing.take(self._model.logits_of(row))
            if token is None or position == len(guessed) or guessed[position] != token:
                break
            right += 1
        self._guesses.tell(len(guessed), right)
        if token is None:
            return False
        if right < len(guessed):
            slot.held -= len(guessed) - right
            self._cells.throw_away(slot.sequence, slot.held)
        slot.todo, slot.tail = [token], 0
        slot.todo += self._guess(slot)
        return True

    def _finish(self, slot: Slot) -> None:
        slot.opened.__exit__(None, None, None)
        self._cells.throw_away(slot.sequence)
        self._slots.remove(slot)
        self._free.append(slot.sequence)
        self._guesses.learn(slot.writing.tokens)


def sequences_for(parameters: int) -> int:
    """Sequences that suit a model of this size: its slots, the one that holds what they share, and the bin."""
    return 2 + (TINY_SLOTS if parameters < TINY_PARAMETERS else SLOTS)


def _system(asked: Asked) -> str:
    messages = asked.case.messages
    return str(messages[0]["content"]) if messages and messages[0]["role"] == "system" else ""
