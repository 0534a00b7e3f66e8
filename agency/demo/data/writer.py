"""Composes one customer message from a matter and its frame, and keeps all messages of a client apart."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from agency.demo.data.wording import NearIndex, pick, sentence, slip

NEAR = 0.6  # stricter than the promised 0.7, so that a small change of the shingle rule breaks nothing
JOINTS = (
    "And",
    "Also,",
    "Besides,",
    "In other words,",
    "To be exact,",
    "What is more,",
    "On top of it,",
    "Or put it so:",
)
PHRASES = Path(__file__).with_name("phrases")


@cache
def phrases(name: str) -> dict[str, Any]:
    """A phrase list by file name."""
    loaded: dict[str, Any] = yaml.safe_load((PHRASES / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


@dataclass
class Writer:
    """Writes messages of one client; refuses any text near to an earlier one."""

    rng: random.Random
    keep: frozenset[str] = frozenset()
    seen: NearIndex = field(default_factory=NearIndex)

    def message(self, matter: str, **named: str) -> str | None:
        """A new message about the matter, or None when this reading is too near to an earlier one."""
        text = self._framed(fill(pick(self.rng, matter), named))
        if self.seen.nearest(text)[0] >= NEAR:
            return None
        self.seen.add(text)
        return text

    def _framed(self, core: str) -> str:
        frame, rng = phrases("frame"), self.rng
        parts = [core]
        for chance in (0.5, 0.15):
            if rng.random() < chance:
                parts.insert(rng.randrange(len(parts) + 1), pick(rng, rng.choice(frame["asides"])))
        text = " ".join(sentence(part) for part in parts)
        if rng.random() < 0.65:
            text = opened(pick(rng, rng.choice(frame["openings"])), text)
        if rng.random() < 0.5:
            text = f"{text} {pick(rng, rng.choice(frame['closings']))}"
        return self._worn(text)

    def _worn(self, text: str) -> str:
        """As people type: now and then a slip, lower case only, abbreviations, no full stop."""
        rng = self.rng
        if rng.random() < 0.12:
            text = slip(rng, text, self.keep)
        if rng.random() < 0.12:
            for long, short in phrases("frame")["abbreviations"].items():
                text = re.sub(rf"\b{long}\b", short, text)
        if rng.random() < 0.12:
            text = text.lower()
        return text.rstrip(".") if rng.random() < 0.2 else text


def held_matter(rng: random.Random, kind: dict[str, Any]) -> str:
    """A matter for an evaluation case: a phrasing of its own, or two things that training rows tell one at a time."""
    if rng.random() < 0.4:
        return str(rng.choice(kind["held"]))
    first, second = rng.sample(kind["train"], 2)
    return f"{sentence(first)} {rng.choice(JOINTS)} {second}"


def fill(matter: str, named: dict[str, str]) -> str:
    """Puts names into {slots}; "a" before a vowel becomes "an"."""
    for slot, value in named.items():
        if value[0] in "aeiou":
            matter = matter.replace(f" a {{{slot}}}", f" an {{{slot}}}")
        matter = matter.replace(f"{{{slot}}}", value)
    return matter


def opened(opening: str, text: str) -> str:
    """Joins an opening; after a comma or colon the text goes on in lower case, save for I."""
    if opening[-1] in ",:" or opening.endswith("but"):
        first = text.split(maxsplit=1)[0].rstrip(",.'")
        text = text if first in {"I", "I'm"} or first.isupper() else text[0].lower() + text[1:]
    return f"{opening} {text}"
