"""A stratified draw of rows for evaluation: by seed and content, so that it is the same on any machine."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import sha256
from math import floor


def draw(labels: Mapping[str, str], share: float, seed: int) -> frozenset[str]:
    """Keys of about `share` of the rows, each label in its proportion. `labels`: {content digest: label}.

    A label with too few rows for one of its own (fewer than 1/share) goes into a common pot that is drawn from at
    random. No label of two rows or more loses all of them. Counts by largest remainders, so that they add up.
    """
    strata: dict[str, list[str]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for label in labels.values():
        counts[label] += 1
    for key in _order(labels, seed):
        label = labels[key]
        strata[label if counts[label] * share >= 1 else ""].append(key)
    wanted = _quotas({label: len(keys) for label, keys in strata.items()}, share)
    return _without_last(frozenset(key for label, keys in strata.items() for key in keys[: wanted[label]]), labels)


def _order(keys: Iterable[str], seed: int) -> list[str]:
    return sorted(keys, key=lambda key: sha256(f"{seed} {key}".encode()).digest())


def _quotas(sizes: Mapping[str, int], share: float) -> dict[str, int]:
    exact = {label: size * share for label, size in sizes.items()}
    wanted = {label: floor(number) for label, number in exact.items()}
    missing = round(sum(exact.values())) - sum(wanted.values())
    by_remainder = sorted(exact, key=lambda label: (wanted[label] - exact[label], label))
    for label in by_remainder[:missing]:
        wanted[label] += 1
    return wanted


def _without_last(chosen: frozenset[str], labels: Mapping[str, str]) -> frozenset[str]:
    """Gives a row back to each label that would have none left to learn from."""
    left = {label for key, label in labels.items() if key not in chosen}
    given_back = {label: key for key, label in labels.items() if key in chosen and label not in left}
    return chosen - set(given_back.values())
