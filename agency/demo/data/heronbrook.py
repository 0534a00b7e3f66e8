"""Client Heronbrook Broadband: sorts customer messages into eight labels."""

from __future__ import annotations

import random
from typing import Any

from agency.demo.data.writer import Writer, held_matter, phrases

SYSTEM = "Sort the message of a Heronbrook Broadband customer. Answer with one label."
# Swapped in the mislabelled batch, as if two columns of a spreadsheet had changed places.
SWAPPED = {"equipment": "installation", "installation": "equipment"}
# How often held-out messages are about a kind of case that first appears in a drop: most are old acquaintances.
HELD_WEIGHTS = {1: 1.0, 2: 0.45}
DROPS = {"v1": 36, "v2": 24, "v3": 24, "v4": 24}  # rows per label; two thirds of it for the two rarer labels


def labels() -> tuple[str, ...]:
    """The closed set of answers."""
    return tuple(phrases("heronbrook"))


def shares(drop: int) -> dict[int, float]:
    """Weight of a kind by the drop in which it first appears; every later drop brings all that v1 lacked."""
    return {1: 1.0, 2: 0.0 if drop == 1 else 2.0}


def training(writer: Writer, label: str, drop: int) -> dict[str, Any]:
    """One right training row of a drop."""
    kinds = phrases("heronbrook")[label]
    weights = [shares(drop)[kind["since"]] for kind in kinds]
    while True:
        kind = writer.rng.choices(kinds, weights)[0]
        if text := writer.message(writer.rng.choice(kind["train"])):
            return row(text, label)


def row(text: str, label: str) -> dict[str, Any]:
    return {"messages": [*asked(text), {"role": "assistant", "content": label}]}


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]


def case(writer: Writer, label: str, name: str, newest: int = 9) -> dict[str, Any]:
    """One evaluation case in held-out phrasing, of kinds known up to drop `newest`."""
    kinds = phrases("heronbrook")[label]
    weights = [HELD_WEIGHTS[kind["since"]] * (kind["since"] <= newest) for kind in kinds]
    while True:
        kind = writer.rng.choices(kinds, weights)[0]
        if text := writer.message(held_matter(writer.rng, kind)):
            break
    expected = {"label": label, "labels": list(labels())}
    return {"id": name, "messages": asked(text), "check": "label", "expected": expected}


def drop_rows(writer: Writer, drop: int) -> list[dict[str, Any]]:
    """All right rows of v<drop>, shuffled; each drop has the same share of each label."""
    full = DROPS[f"v{drop}"]
    counts = {label: full * 2 // 3 if label in SWAPPED else full for label in labels()}
    rows = [training(writer, label, drop) for label, count in counts.items() for _ in range(count)]
    writer.rng.shuffle(rows)
    return rows


def mislabelled(writer: Writer, usual: int = 47, swapped: int = 58) -> list[dict[str, Any]]:
    """A batch in which two labels changed places: 116 of 398 rows (29 %) are wrong, the label counts look normal."""
    counts = {label: swapped if label in SWAPPED else usual for label in labels()}
    rows = [relabelled(training(writer, label, 2)) for label, count in counts.items() for _ in range(count)]
    writer.rng.shuffle(rows)
    return rows


def relabelled(right: dict[str, Any]) -> dict[str, Any]:
    label = right["messages"][-1]["content"]
    return {"messages": [*right["messages"][:-1], {"role": "assistant", "content": SWAPPED.get(label, label)}]}


def cases(writer: Writer, prefix: str, count: int, newest: int = 9) -> list[dict[str, Any]]:
    """`count` cases, labels in turn."""
    names = labels()
    return [case(writer, names[i % len(names)], f"{prefix}-{i + 1:03d}", newest) for i in range(count)]


def writer(seed: int) -> Writer:
    return Writer(random.Random(f"heronbrook {seed}"))
