"""The real line once per test session: base, adapter, f16 and Q4_K_M files made by the product's own work."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.work.tiny_base import make_base, work, write_dataset


@dataclass(frozen=True)
class Line:
    """Paths and results of the line: a base that knows nothing, and a model that learnt four labels."""

    folder: Path
    base: Path
    dataset: Path
    adapter: Path
    f16: Path
    q4: Path
    base_q4: Path
    results: dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    folder = tmp_path_factory.mktemp("line")
    base = make_base(folder / "base")
    dataset = write_dataset(folder / "data.jsonl")
    adapter, f16, q4 = folder / "adapter", folder / "m-f16.gguf", folder / "m.gguf"
    recipe = {"epochs": 6, "learning_rate": 5e-3, "seed": 3}
    results = {
        "preflight": work(folder, "preflight", base=base, dataset=dataset, recipe=recipe),
        "train": work(folder, "train", base=base, dataset=dataset, recipe=recipe, out=adapter),
        "convert": work(folder, "convert", base=base, adapter=adapter, out=f16, name="tiny"),
        "quantise": work(folder, "quantise", source=f16, out=q4),
        "convert base": work(folder, "convert", base=base, adapter=None, out=folder / "base-f16.gguf"),
        "quantise base": work(folder, "quantise", source=folder / "base-f16.gguf", out=folder / "base.gguf"),
    }
    return Line(folder, base, dataset, adapter, f16, q4, folder / "base.gguf", results)
