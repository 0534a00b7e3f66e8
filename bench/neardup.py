"""Near duplicates: the product's join against datasketch as everyone writes it, and new rows against stored signatures.

100k examples of 225 words: 2 % exact and 4 % edited copies, 10 % templated hard negatives. The truth is an exact
set-similarity join (prefix filter, rarest shingles first). NEARDUP_ROWS makes it smaller; NEARDUP_PEER_ROWS is how many
of the rows the others are given as well.
incremental_500_vs_100k_s: 500 new rows signed, looked up in SQL (SQLite), verified and stored, by the stage's own code;
beside it the same on PostgreSQL.
incremental_vs_rebuild: the whole join over that. memory_vs_text: what the join needs beside the text, in texts.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from bench.neardup_stored.rows import incremental
from bench.report import Figure, at_least, at_most, report, wants_json
from pipelines.domain.data_checks import jaccard, shingles
from pipelines.domain.neardup import near_duplicates
from pipelines.domain.neardup.signatures import _shingle_hashes

FULL = 100_000
ROWS = int(os.environ.get("NEARDUP_ROWS", FULL))
PEER_ROWS = min(ROWS, int(os.environ.get("NEARDUP_PEER_ROWS", FULL)))
WORDS, PERMUTATIONS, LIKE = 225, 128, 0.95
TARGETS = {
    "full_100k_vs_naive": at_least(20),
    "vs_generator": at_least(3),
    "recall": at_least(1.0),
    "precision": at_least(1.0),
    "incremental_500_vs_100k_s": at_most(0.5),
    "incremental_vs_rebuild": at_least(40),
    "incremental_recall": at_least(1.0),
    "postgresql_incremental_s": at_most(0.5),
    "postgresql_incremental_recall": at_least(1.0),
    "memory_vs_text": at_most(2.0),
}
Texts = dict[str, str]
Pairs = set[tuple[str, str]]


def main() -> None:
    as_json = wants_json()
    rng = np.random.default_rng(7)
    texts = corpus(rng, ROWS)
    truth = exact_join(texts)
    _say(f"{len(texts)} texts, {len(truth)} true pairs")
    full_s, found = joined(texts)
    figures: dict[str, Figure] = {"rows": ROWS, "full_s": full_s, "memory_vs_text": memory_vs_text(texts)}
    figures |= {"recall": recall(found, truth), "precision": recall(truth, found)}
    figures |= beside_peers(dict(list(texts.items())[:PEER_ROWS]))
    with tempfile.TemporaryDirectory(prefix="retune-bench-") as folder:
        figures |= incremental(Path(folder), texts, rng)
    figures["incremental_vs_rebuild"] = full_s / float(figures["incremental_s"] or 1)
    report("neardup", figures | at_full_size(figures), TARGETS, as_json)


def at_full_size(figures: dict[str, Figure]) -> dict[str, Figure]:
    """The figures whose names promise 100k rows; null where fewer were asked for."""
    found: dict[str, Figure] = {}
    for key, name, rows in (
        ("full_100k_vs_naive", "vs_naive", PEER_ROWS),
        ("incremental_500_vs_100k_s", "incremental_s", ROWS),
    ):
        found[key] = figures[name] if rows == FULL else None
        if rows != FULL:
            found[f"{key}_why"] = f"measured with {rows:,} rows: see {name}"
    return found


def joined(texts: Texts) -> tuple[float, Pairs]:
    seconds, pairs = timed(lambda: near_duplicates(texts, LIKE))
    return seconds, {(pair.one, pair.two) for pair in pairs}


def beside_peers(texts: Texts) -> dict[str, Figure]:
    """The same rows by everybody, one after the other."""
    truth, (ours_s, _found) = exact_join(texts), joined(texts)
    figures: dict[str, Figure] = {"peer_rows": len(texts)}
    for name, make in (("generator", by_generator), ("naive", by_update)):
        seconds, others = timed(lambda make=make: lsh_pairs(texts, make))  # type: ignore[misc]
        figures |= {f"{name}_s": seconds, f"vs_{name}": seconds / ours_s}
        figures |= {f"{name}_recall": recall(others, truth), f"{name}_precision": recall(truth, others)}
        _say(f"{name}: {seconds:.1f} s")
    return figures


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made


def recall(found: Pairs, truth: Pairs) -> float:
    return len(found & truth) / len(truth) if truth else 1.0


def corpus(rng: np.random.Generator, n: int) -> Texts:
    """Words by Zipf's law; copies stand somewhere behind their originals."""
    alphabet = list("abcdefghijklmnopqrstuvwxyz")
    vocabulary = np.array(["".join(rng.choice(alphabet, rng.integers(2, 11))) for _ in range(30_000)])
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    drawn = rng.choice(vocabulary, (n, WORDS), p=weights / weights.sum())
    kinds = rng.random(n)
    templates = rng.choice(vocabulary, (max(1, n // 200), WORDS), p=weights / weights.sum())
    for row in np.flatnonzero(kinds < 0.10):  # three words in four are the template's
        drawn[row] = np.where(np.arange(WORDS) % 60 < 45, templates[rng.integers(len(templates))], drawn[row])
    for row in np.flatnonzero((kinds > 0.94) & (np.arange(n) > 0)):
        drawn[row] = drawn[rng.integers(row)]
        if kinds[row] < 0.98:
            drawn[row][rng.integers(WORDS)] = vocabulary[rng.integers(len(vocabulary))]
    return {f"{row:06d}": " ".join(words) for row, words in enumerate(drawn)}


def exact_join(texts: Texts) -> Pairs:
    """Every pair from LIKE on. Two such sets share one of each other's |A| - ceil(t |A|) + 1 rarest elements."""
    counts, tokens = _shingle_hashes([text.lower() for text in texts.values()])
    row_of = np.repeat(np.arange(len(counts)), counts)
    packed = np.unique(row_of.astype(np.uint64) << np.uint64(32) | tokens)  # a set of each row
    rows, tokens = (packed >> np.uint64(32)).astype(np.int64), packed.astype(np.uint32)
    _values, rank, seen = np.unique(tokens, return_inverse=True, return_counts=True)
    order = np.lexsort((tokens, seen[rank], rows))
    rows, tokens, often = rows[order], tokens[order], seen[rank][order]
    sizes = np.bincount(rows, minlength=len(texts))
    place = np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[rows]
    prefix = (place <= sizes[rows] - np.ceil(LIKE * sizes[rows])) & (often > 1)
    ids, cut = list(texts), {}
    pairs: Pairs = set()
    for one, two in sorted(_together(rows[prefix], tokens[prefix])):
        for row in (one, two):
            if row not in cut:
                cut[row] = shingles(texts[ids[row]])
        if jaccard(cut[one], cut[two]) >= LIKE:
            pairs.add((ids[one], ids[two]))
    return pairs


def _together(rows: NDArray[np.int64], tokens: NDArray[np.uint32]) -> set[tuple[int, int]]:
    order = np.lexsort((rows, tokens))
    rows, tokens = rows[order], tokens[order]
    found: set[tuple[int, int]] = set()
    for group in np.split(rows, np.flatnonzero(tokens[1:] != tokens[:-1]) + 1):
        members = group.tolist()
        found |= {(one, two) for i, one in enumerate(members) for two in members[i + 1 :]}
    return found


def by_update(texts: Iterable[str]) -> Iterable[MinHash]:
    for text in texts:
        made = MinHash(num_perm=PERMUTATIONS)
        for shingle in _cut(text):
            made.update(shingle)
        yield made


def by_generator(texts: Iterable[str]) -> Iterable[MinHash]:
    return MinHash.generator((_cut(text) for text in texts), num_perm=PERMUTATIONS)


def _cut(text: str) -> set[bytes]:
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + 3]).encode() for i in range(max(1, len(words) - 2))}


def lsh_pairs(texts: Texts, make: Callable[[Iterable[str]], Iterable[MinHash]]) -> Pairs:
    index, pairs = MinHashLSH(threshold=LIKE, num_perm=PERMUTATIONS), set[tuple[str, str]]()
    for row, signature in zip(texts, make(texts.values()), strict=True):
        pairs |= {(other, row) for other in index.query(signature)}
        index.insert(row, signature)
    return pairs


def memory_vs_text(texts: Texts) -> float:
    """Measured in a process of its own, which has the texts when it begins."""
    made, told = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_peak, args=(texts, told))
    child.start()
    needed = made.recv()
    child.join()
    return float(needed) / sum(len(text.encode()) for text in texts.values())


def _peak(texts: Texts, told: Any) -> None:
    before = _status_bytes("VmRSS")
    near_duplicates(texts, LIKE)
    told.send(_status_bytes("VmHWM") - before)


def _status_bytes(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
