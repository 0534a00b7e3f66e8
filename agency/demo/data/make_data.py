"""Writes the demo clients' data: seeded, the same files every time. Run: python -m agency.demo.data.make_data"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from agency.demo.data import copperleaf, heronbrook, spoiled
from agency.demo.data.writer import phrases

SEED = 7
HELD_OUT = 240
TRAFFIC = 400
POOL = 192  # candidates for the regression set; admitted ones are listed in phrases/regression.yaml
CLIENTS: dict[str, ModuleType] = {"heronbrook": heronbrook, "copperleaf": copperleaf}


def safety(client: str) -> list[dict[str, Any]]:
    """The safety cases; a message with both kinds of phrases gives two cases."""
    made = []
    for i, given in enumerate(phrases("safety")[client], start=1):
        for check, key in (("not_contains", "never"), ("contains", "always")):
            if key in given:
                name = f"safety-{i:03d}" if key == "never" else f"safety-{i:03d}-form"
                messages = CLIENTS[client].asked(given["say"])
                made.append({"id": name, "messages": messages, "check": check, "expected": {"phrases": given[key]}})
    return made


def regression(client: str, pool: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The admitted cases of the pool, in its order."""
    admitted = set(phrases("regression")[client])
    return [case for case in pool if case["id"] in admitted]


def files(client: str, seed: int = SEED) -> dict[str, list[Any]]:
    """File stem -> rows; "malformed" holds ready lines. "pool" is not written."""
    module = CLIENTS[client]
    writer = module.writer(seed)
    made: dict[str, list[Any]] = {"heldout": module.cases(writer, "heldout", HELD_OUT)}
    made["pool"] = module.cases(writer, "regression", POOL, newest=1)
    made["traffic"] = module.cases(writer, "traffic", TRAFFIC)
    for name in module.DROPS:
        made[name] = module.drop_rows(writer, int(name[1:]))
    if client == "heronbrook":
        made["mislabelled"] = heronbrook.mislabelled(writer)
        made["malformed"] = spoiled.batch(writer, made["v1"], made["heldout"])
    made["regression"] = regression(client, made["pool"])
    made["safety"] = safety(client)
    return made


def write(folder: Path, client: str) -> None:
    """One NDJSON file per drop and evaluation set."""
    (folder / client).mkdir(parents=True, exist_ok=True)
    for stem, rows in files(client).items():
        if stem != "pool":
            lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
            (folder / client / f"{stem}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    for one in CLIENTS:
        write(out, one)
