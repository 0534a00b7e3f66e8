"""Client Copperleaf Kitchen: reads product and request out of a message, as JSON."""

from __future__ import annotations

import json
import random
from itertools import product
from typing import Any

from agency.demo.data.writer import Writer, held_matter, phrases

SYSTEM = "Read the message of a Copperleaf Kitchen customer. Answer in JSON with product and request."
HELD_KINDS = {1: 1.0, 2: 0.2}
HELD_NAMES = {1: 1.0, 2: 0.1}
DROPS = {"v1": 7, "v2": 4, "v3": 4, "v4": 4, "v5": 4}  # rows per pair of product and request


def pairs() -> list[tuple[str, str]]:
    """Every (product, request); each drop has the same number of each, so that no drop brings a new answer."""
    return list(product(phrases("copperleaf")["products"], phrases("copperleaf")["requests"]))


def shares(drop: int) -> dict[int, float]:
    """Weight of kinds and names by the drop in which they first appear; every later drop brings all that v1 lacked."""
    return {1: 1.0, 2: 0.0 if drop == 1 else 2.0}


def called(rng: random.Random, name: str, weights: dict[int, float]) -> str:
    """What the customer calls the product, by the weight of the drop in which that name first appears."""
    since = phrases("copperleaf")["products"][name]
    drop = rng.choices(list(since), [weights[one] for one in since])[0]
    return str(rng.choice(since[drop]))


def training(writer: Writer, name: str, request: str, drop: int) -> dict[str, Any]:
    """One right training row of a drop."""
    kinds = phrases("copperleaf")["requests"][request]
    weights = shares(drop)
    while True:
        kind = writer.rng.choices(kinds, [weights[kind["since"]] for kind in kinds])[0]
        if text := writer.message(writer.rng.choice(kind["train"]), p=called(writer.rng, name, weights)):
            return {"messages": [*asked(text), {"role": "assistant", "content": answer(name, request)}]}


def answer(name: str, request: str) -> str:
    return json.dumps({"product": name, "request": request})


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]


def case(writer: Writer, pair: tuple[str, str], name: str, newest: int = 9) -> dict[str, Any]:
    """One evaluation case in held-out phrasing, of kinds and names known up to drop `newest`."""
    kinds = phrases("copperleaf")["requests"][pair[1]]
    names = {since: weight * (since <= newest) for since, weight in HELD_NAMES.items()}
    while True:
        kind = writer.rng.choices(kinds, [HELD_KINDS[kind["since"]] * (kind["since"] <= newest) for kind in kinds])[0]
        if text := writer.message(held_matter(writer.rng, kind), p=called(writer.rng, pair[0], names)):
            break
    expected = {"fields": {"product": pair[0], "request": pair[1]}}
    return {"id": name, "messages": asked(text), "check": "json_fields", "expected": expected}


def drop_rows(writer: Writer, drop: int) -> list[dict[str, Any]]:
    """All rows of v<drop>, the same number per pair, shuffled."""
    rows = [training(writer, *pair, drop) for pair in pairs() for _ in range(DROPS[f"v{drop}"])]
    writer.rng.shuffle(rows)
    return rows


def cases(writer: Writer, prefix: str, count: int, newest: int = 9) -> list[dict[str, Any]]:
    """`count` cases, pairs in turn."""
    turn = pairs()
    return [case(writer, turn[i % len(turn)], f"{prefix}-{i + 1:03d}", newest) for i in range(count)]


def writer(seed: int) -> Writer:
    names = [one for since in phrases("copperleaf")["products"].values() for drop in since.values() for one in drop]
    return Writer(random.Random(f"copperleaf {seed}"), keep=frozenset(" ".join(names).split()))
