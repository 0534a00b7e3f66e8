"""What every bench prints: a table with targets, and with --json one JSON object as the last line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """`meets` says whether a figure is good enough; `words` is how the table puts it."""

    words: str
    meets: Callable[[float], bool]


def at_most(limit: float) -> Target:
    return Target(f"<= {limit:g}", lambda figure: figure <= limit)


def at_least(limit: float) -> Target:
    return Target(f">= {limit:g}", lambda figure: figure >= limit)


def exactly(value: float) -> Target:
    return Target(f"== {value:g}", lambda figure: figure == value)


Figure = float | int | str | None


def wants_json(arguments: list[str] | None = None) -> bool:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return bool(parser.parse_args(arguments).json)


def report(title: str, figures: Mapping[str, Figure], targets: Mapping[str, Target], as_json: bool) -> None:
    """Prints the figures. One that could not be measured is None, with its reason under `<key>_why`."""
    print(f"\n{title}")
    width = max(map(len, figures), default=0)
    for key, figure in figures.items():
        print(f"  {key:<{width}}  {_shown(figure):>12}  {_verdict(figure, targets.get(key))}".rstrip())
    if as_json:
        print(json.dumps(dict(figures)))
    sys.stdout.flush()


def _shown(figure: Figure) -> str:
    return "-" if figure is None else f"{figure:.4g}" if isinstance(figure, float) else str(figure)


def _verdict(figure: Figure, target: Target | None) -> str:
    if target is None or not isinstance(figure, int | float):
        return ""
    return f"{'ok' if target.meets(figure) else 'MISSED'} (target {target.words})"
