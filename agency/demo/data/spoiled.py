"""The batch that the data checks must stop: malformed rows, duplicates, leaks, lopsided labels."""

from __future__ import annotations

import json
import random
from typing import Any

from agency.demo.data import heronbrook
from agency.demo.data.wording import pick, sentence
from agency.demo.data.writer import Writer, phrases

Row = dict[str, Any]
# Two of three rows are billing; in the data before it is one of eight.
LOPSIDED = {"billing": 104, "outage": 16, "slow": 10, "equipment": 10, "account_access": 8, "installation": 6}


def malformed_lines(rows: list[Row]) -> list[str]:
    """Each row broken in a way of its own, nine ways in turn."""
    return [WAYS[i % len(WAYS)](row["messages"]) for i, row in enumerate(rows)]


def _line(messages: object) -> str:
    return json.dumps({"messages": messages}, ensure_ascii=False)


WAYS = (
    lambda turns: _line(turns)[:-17],
    lambda turns: json.dumps({"text": turns[1]["content"], "tag": turns[2]["content"]}),
    lambda turns: _line([]),
    lambda turns: _line([{**turns[0], "role": "narrator"}, *turns[1:]]),
    lambda turns: _line(turns[:2]),
    lambda turns: _line([*turns[:2], {**turns[2], "content": ""}]),
    lambda turns: _line([turns[0], {**turns[1], "content": 4711}, turns[2]]),
    lambda turns: _line([turns[0], turns[1], turns[1], turns[2]]),
    lambda turns: _line(turns[1]["content"]),
)


def long_message(rng: random.Random, core: str) -> str:
    """About 150 words: one changed word keeps two of these above 0.95 Jaccard."""
    asides = [pick(rng, one) for one in rng.sample(phrases("frame")["asides"], 16)]
    return " ".join(sentence(part) for part in [*asides[:8], pick(rng, core), *asides[8:]])


def twins(rng: random.Random, label: str, other_word: bool) -> list[Row]:
    """Two rows that differ in one word, or in capitals and spaces alone."""
    core = rng.choice(phrases("heronbrook")[label][0]["train"])
    text = long_message(rng, core)
    changed = text.rsplit(" ", 1)[0] + " anyway." if other_word else "  ".join(text.upper().split(" ", 3))
    return [heronbrook.row(text, label), heronbrook.row(changed, label)]


def batch(writer: Writer, earlier: list[Row], held: list[Row]) -> list[str]:
    """All lines of the batch, shuffled. `earlier` gives exact duplicates and conflicts, `held` the leaked cases."""
    rng = writer.rng
    rows = [heronbrook.training(writer, label, 2) for label, count in LOPSIDED.items() for _ in range(count)]
    rows += [row for i in range(6) for row in twins(rng, "billing", other_word=i % 2 == 0)]
    rows += earlier[:4]
    rows += [
        heronbrook.row(row["messages"][1]["content"], "cancellation") for row in of_label(earlier[4:], "billing")[:3]
    ]
    rows += [heronbrook.row(case["messages"][1]["content"], case["expected"]["label"]) for case in held[:3]]
    spoiled = [heronbrook.training(writer, label, 2) for label in heronbrook.labels() for _ in range(2)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows] + malformed_lines(spoiled)
    rng.shuffle(lines)
    return lines


def of_label(rows: list[Row], label: str) -> list[Row]:
    return [row for row in rows if row["messages"][-1]["content"] == label]
