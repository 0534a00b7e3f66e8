"""The rows that a user brings: train.csv and test.csv, read strictly, cut down to what the demo can afford."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

CATEGORIES = 10
DROP_ROWS = 500
HELD_OUT_ROWS = 400
TRAFFIC_ROWS = 400
# Two drops of which each keeps the product's least of 100 new examples after duplicates and leaks are gone.
LEAST_TRAINING = 250
LEAST_HELD_OUT = 50
LONGEST_CATEGORY = 80
SEED = 0
COLUMNS = ("text", "category")
INSTRUCTION = "Name the intent of the customer's message."


class BadInput(CommandError):
    """The folder cannot be used; the sentence says what to do."""


@dataclass(frozen=True, order=True)
class OwnRow:
    """One labelled text."""

    category: str
    text: str

    @property
    def question(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": self.text}]

    def example(self) -> dict[str, Any]:
        return {"messages": [*self.question, {"role": "assistant", "content": self.category}]}


@dataclass(frozen=True)
class OwnRows:
    """What of the user's rows is used: two drops to train on, cases to judge by, questions for the traffic."""

    categories: tuple[str, ...]
    drops: tuple[list[OwnRow], list[OwnRow]]
    heldout: list[OwnRow]
    traffic: list[OwnRow]

    def cases(self) -> list[dict[str, Any]]:
        """The held-out rows as evaluation cases with the closed set of labels."""
        labels = list(self.categories)
        return [
            {
                "id": f"heldout-{n:03d}",
                "messages": row.question,
                "check": "label",
                "expected": {"label": row.category, "labels": labels},
            }
            for n, row in enumerate(self.heldout, start=1)
        ]


def ndjson(rows: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def read_folder(folder: Path) -> OwnRows:
    """The rows to use; BadInput with a sentence if the folder does not give enough of them."""
    train, test = (read_csv(folder / name) for name in ("train.csv", "test.csv"))
    found = select(train, test)
    _require(found, folder)
    return found


def read_csv(path: Path) -> list[OwnRow]:
    """Every row of a UTF-8 file with a header that names the columns text and category; other columns are ignored."""
    if not path.is_file():
        raise BadInput(_("%(path)s is missing. DATA= names a folder with train.csv and test.csv.") % {"path": path})
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_rows(csv.DictReader(file, strict=True), path))
    except UnicodeDecodeError as error:
        raise BadInput(_("%(path)s is not UTF-8: save it as CSV in UTF-8.") % {"path": path}) from error
    except csv.Error as error:
        raise BadInput(_("%(path)s is no CSV file: %(error)s.") % {"path": path, "error": error}) from error


def _rows(reader: csv.DictReader[str], path: Path) -> Iterator[OwnRow]:
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        words = {"path": path, "names": ", ".join(missing)}
        raise BadInput(_("%(path)s lacks the column %(names)s. Its first line must be: text,category.") % words)
    for row in reader:
        text, category = ((row[name] or "").strip() for name in COLUMNS)
        if not text or not category or None in row:
            words = {"path": path, "line": reader.line_num}
            raise BadInput(_("%(path)s, line %(line)s: a row needs a text and a category, quoted by commas.") % words)
        yield OwnRow(category, text)


def select(train: Sequence[OwnRow], test: Sequence[OwnRow], seed: int = SEED) -> OwnRows:
    """The most frequent categories of `train`; the same rows for the same seed."""
    counts = Counter(row.category for row in train)
    names = sorted(counts, key=lambda name: (-counts[name], name))[:CATEGORIES]
    known = [row for row in train if row.category in names]
    chosen = stratified(known, 2 * DROP_ROWS, seed)
    drops = (shuffled(chosen[::2], seed), shuffled(chosen[1::2], seed))
    heldout = shuffled(stratified([row for row in test if row.category in names], HELD_OUT_ROWS, seed), seed)
    unused = sorted(set(known) - set(chosen)) or heldout
    return OwnRows(tuple(names), drops, heldout, shuffled(unused, seed)[:TRAFFIC_ROWS])


def stratified(rows: Sequence[OwnRow], size: int, seed: int) -> list[OwnRow]:
    """`size` of the rows in the proportions of their categories (largest remainders), sorted by category.

    So every second one of the result is stratified too. All rows if there are fewer.
    """
    of: dict[str, list[OwnRow]] = {}
    for row in sorted(rows):
        of.setdefault(row.category, []).append(row)
    size = min(size, len(rows))
    exact = {name: size * len(mine) / len(rows) for name, mine in of.items()}
    share = {name: int(wanted) for name, wanted in exact.items()}
    by_remainder = sorted(of, key=lambda name: (share[name] - exact[name], name))
    for name in by_remainder[: size - sum(share.values())]:
        share[name] += 1
    return [row for name in sorted(of) for row in shuffled(of[name], seed)[: share[name]]]


def shuffled(rows: Iterable[OwnRow], seed: int) -> list[OwnRow]:
    mixed = list(rows)
    random.Random(seed).shuffle(mixed)
    return mixed


def _require(found: OwnRows, folder: Path) -> None:
    training = {row.text for drop in found.drops for row in drop}
    if len(found.categories) < 2:
        raise BadInput(_("%(path)s holds fewer than 2 categories: there is nothing to tell apart.") % {"path": folder})
    too_long = next((name for name in found.categories if len(name) > LONGEST_CATEGORY), None)
    if too_long is not None:
        words = {"name": too_long[:40], "limit": LONGEST_CATEGORY}
        raise BadInput(_("The category “%(name)s…” is longer than %(limit)s characters: shorten it.") % words)
    for name, have, least in (
        ("train.csv", len(training), LEAST_TRAINING),
        ("test.csv", len({row.text for row in found.heldout}), LEAST_HELD_OUT),
    ):
        if have < least:
            words = {"path": folder / name, "have": have, "least": least, "categories": len(found.categories)}
            sentence = _(
                "%(path)s has %(have)s different rows of the %(categories)s most frequent categories of train.csv,"
                " at least %(least)s are needed: add rows."
            )
            raise BadInput(sentence % words)
