"""What the trained versions are compared with: majority label, TF-IDF with logistic regression, the untrained base."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agency.demo.outside import DemoFailed
from agency.demo.own_rows import OwnRow, ndjson
from pipelines.heavy.children import limits
from pipelines.work.child import spawn

Tell = Callable[[float, str], None]


def majority(train: Sequence[OwnRow], test: Sequence[OwnRow]) -> float:
    """Accuracy of always answering the most frequent category."""
    counts = Counter(row.category for row in train)
    name = max(sorted(counts), key=counts.__getitem__)
    return sum(row.category == name for row in test) / len(test)


def tfidf(train: Sequence[OwnRow], test: Sequence[OwnRow]) -> float:
    """Accuracy of words and word pairs, weighted by TF-IDF, under a logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000))
    model.fit([row.text for row in train], [row.category for row in train])
    return float(model.score([row.text for row in test], [row.category for row in test]))


def untrained(base: Path, cases: Sequence[Mapping[str, Any]], folder: Path, max_tokens: int, tell: Tell) -> float:
    """Accuracy of the base without an adapter: converted, quantised and asked exactly as a version is."""
    folder.mkdir(parents=True, exist_ok=True)
    full, small, asked = folder / "full.gguf", folder / "base.gguf", folder / "cases.jsonl"
    asked.write_bytes(ndjson(map(dict, cases)))
    _work("convert", {"base": str(base), "adapter": None, "out": str(full)}, folder, tell)
    _work("quantise", {"source": str(full), "out": str(small)}, folder, tell)
    full.unlink()
    sets = [{"name": "heldout", "path": str(asked), "metrics": ["accuracy"], "max_tokens": max_tokens}]
    spec = {"candidate": str(small), "production": None, "sets": sets, "out": str(folder / "out")}
    found = _work("evaluate", spec, folder, tell)
    return float(found["sets"]["heldout"]["metrics"]["accuracy"]["candidate"])


def _work(kind: str, spec: Mapping[str, Any], folder: Path, tell: Tell) -> Mapping[str, Any]:
    def on_line(line: Mapping[str, Any]) -> None:
        tell(float(line.get("progress", 0.0)), f"{kind} {line.get('note', '')}")

    scratch = folder / kind
    ended = spawn(
        kind,
        {**spec, "scratch": str(scratch)},
        scratch=scratch,
        limits=limits(),
        on_line=on_line,
        cancelled=lambda: False,
        log_path=folder / f"{kind}.log",
    )
    if ended.result is None:
        raise DemoFailed(f"{kind} of the untrained base: {ended.error}")
    return ended.result
