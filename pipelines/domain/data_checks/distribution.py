"""Whether new labels look like the existing ones: total variation beyond chance, one label alone, new labels."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_SEED = 7_919
_PERMUTATIONS = 10_000
# Beyond so many labels the rarest are counted as one, and labels that mostly occur once are no classes at all.
_MOST_LABELS = 100
_OTHERS = "the others"


@dataclass(frozen=True)
class DistributionLimits:
    """Shift: total variation above `variation` and p at most `p`; `one_label`: the largest share one label may have."""

    variation: float = 0.30
    p: float = 0.01
    one_label: float = 0.90


@dataclass(frozen=True)
class Distribution:
    """What was found; any breach holds the run. `variation`, `p` None: there was nothing to compare with."""

    variation: float | None
    p: float | None
    breaches: tuple[str, ...]


def total_variation(new: Mapping[str, int], existing: Mapping[str, int]) -> float:
    """Half the sum of the absolute differences of both label shares; 0..1."""
    n, m = sum(new.values()), sum(existing.values())
    return sum(abs(new.get(k, 0) / n - existing.get(k, 0) / m) for k in new.keys() | existing.keys()) / 2


def permutation_p(new: Mapping[str, int], existing: Mapping[str, int], seed: int = _SEED) -> float:
    """P(a random split of all rows varies as much): with 77 labels 100 rows of the same source vary by .345."""
    import numpy as np  # Here: a gateway uses these checks' secrets, and no numbers.

    labels = sorted(new.keys() | existing.keys())
    pooled = np.array([new.get(k, 0) + existing.get(k, 0) for k in labels])
    n, m = sum(new.values()), sum(existing.values())
    draws = np.random.default_rng(seed).multivariate_hypergeometric(pooled, n, _PERMUTATIONS)
    varied = np.abs(draws / n - (pooled - draws) / m).sum(axis=1) / 2
    return float((1 + (varied >= total_variation(new, existing) - 1e-12).sum()) / (1 + _PERMUTATIONS))


def _varied(new: Mapping[str, int], existing: Mapping[str, int]) -> tuple[float, float]:
    """Total variation and p. Of thousands of labels the draws alone would take minutes and gigabytes."""
    pooled = Counter(new) + Counter(existing)
    if len(pooled) > _MOST_LABELS:
        kept = {label for label, _n in sorted(pooled.items(), key=lambda one: (-one[1], one[0]))[:_MOST_LABELS]}
        new, existing = _folded(new, kept), _folded(existing, kept)
    return total_variation(new, existing), permutation_p(new, existing)


def _folded(counts: Mapping[str, int], kept: set[str]) -> Counter[str]:
    found = Counter[str]()
    for label, n in counts.items():
        found[label if label in kept else _OTHERS] += n
    return found


def _is_free_text(new: Mapping[str, int], existing: Mapping[str, int]) -> bool:
    """Judged by what trains already too: answers out of a wrong column make no class free text."""
    distinct, rows = len(new.keys() | existing.keys()), sum(new.values()) + sum(existing.values())
    trains = not existing or 2 * len(existing) > sum(existing.values())
    return trains and distinct > _MOST_LABELS and 2 * distinct > rows


@dataclass(frozen=True)
class Shift:
    """How far counts of new rows are from those of existing ones. None: there was nothing to compare."""

    variation: float | None = None
    p: float | None = None
    breach: str = ""


def compare_shares(what: str, new: Mapping[str, int], existing: Mapping[str, int], limits: DistributionLimits) -> Shift:
    """The same judgement for counts of anything; its sentence names what grew most."""
    if not sum(new.values()) or not sum(existing.values()):
        return Shift()
    variation, p = _varied(new, existing)
    if variation <= limits.variation or p > limits.p:
        return Shift(variation, p)
    shares = {name: (n / sum(new.values()), existing.get(name, 0) / sum(existing.values())) for name, n in new.items()}
    most = max(sorted(shares), key=lambda name: shares[name][0] - shares[name][1])
    now, before = (f"{100 * share:.0f} %" for share in shares[most])
    found = f"total variation {variation:.2f} > {limits.variation:.2f}, p={p:.4f} <= {limits.p:g}"
    return Shift(variation, p, f"{what} shift: {found}; {most} is {now} of the new rows and was {before}")


def length_bin(words: int) -> str:
    """The range of words in which a length lies; each range is half as long again as the one before."""
    low = 1
    while (above := max(low + 1, low * 3 // 2)) <= words:
        low = above
    return f"{low}-{above - 1} words" if above - 1 > low else f"{low} words"


def compare_labels(
    new: Mapping[str, int],
    existing: Mapping[str, int],
    limits: DistributionLimits | None = None,
    is_first_version: bool = False,
) -> Distribution:
    """Compare label counts of a batch with those of production's data; an empty batch breaches nothing.

    Nor does free text, such as the number of an invoice where a JSON answer begins with it.
    """
    limits = limits or DistributionLimits()
    if not sum(new.values()) or _is_free_text(new, existing):
        return Distribution(None, None, ())
    breaches = [*_one_label(new, limits), *([] if is_first_version else _new_labels(new, existing))]
    if not sum(existing.values()):
        return Distribution(None, None, tuple(breaches))
    variation, p = _varied(new, existing)
    if variation > limits.variation and p <= limits.p:
        shift = f"label shift: total variation {variation:.2f} > {limits.variation:.2f}, p={p:.4f} <= {limits.p:g}"
        breaches.insert(0, shift)
    return Distribution(variation, p, tuple(breaches))


def _one_label(new: Mapping[str, int], limits: DistributionLimits) -> list[str]:
    label = max(sorted(new), key=new.__getitem__)
    share = new[label] / sum(new.values())
    if share <= limits.one_label:
        return []
    return [f"one label: {label!r} has {100 * share:.0f} % of the new rows, at most {100 * limits.one_label:.0f} %"]


def _new_labels(new: Mapping[str, int], existing: Mapping[str, int]) -> list[str]:
    unknown = sorted(label for label, count in new.items() if count and not existing.get(label))
    if not unknown or not existing:
        return []
    shown = ", ".join(map(repr, unknown[:5])) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
    return [f"new labels: {shown}"]
