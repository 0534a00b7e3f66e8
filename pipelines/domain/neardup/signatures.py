"""MinHash bands of many texts at once: words, three-word shingles and their least hashes as arrays, never as strings.

Hashing only proposes: two texts that share a band are compared word by word afterwards (`pairs.verified`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipelines.domain.data_checks.shingles import folded

# What is stored under another version is computed anew: datasketch 2.0 permutes otherwise than 1.x, up to 2 every band
# had a row of its own, and up to 3 a text that is not NFC had bands of its own.
SIGNATURE_VERSION = 4
BANDS, ROWS = 12, 10  # finds a pair at exactly .95 with 1 - (1 - .95^10)^12 = .99998
CHUNK_CHARS = 1 << 17  # hashes of so much text stay in the processor's cache

Codes = NDArray[np.uint32]
Hashes = NDArray[np.uint64]
_BASE, _INVERSE = 0x9E3779B97F4A7C15, pow(0x9E3779B97F4A7C15, -1, 1 << 64)
_PLACES = [np.uint64(k) for k in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)]


@dataclass(frozen=True)
class Signatures:
    """`bands`: a row per text, a signed 64-bit number per band, fit for a BIGINT column.

    `has_words`: texts without words have no bands; their row means nothing.
    """

    bands: NDArray[np.int64]
    has_words: NDArray[np.bool_]

    def of(self, row: int) -> tuple[int, ...]:
        return tuple(self.bands[row].tolist()) if self.has_words[row] else ()


def bands_of(text: str) -> tuple[int, ...]:
    """The bands of one text; empty for a text without words."""
    return sign([text]).of(0)


def sign(texts: Sequence[str]) -> Signatures:
    """The bands of many texts. Two texts are candidates when they share (band, number)."""
    bands = np.zeros((len(texts), BANDS), np.int64)
    has_words = np.zeros(len(texts), np.bool_)
    for start, chunk in _chunks(texts):
        counts, hashes = _shingle_hashes(chunk)
        filled = np.flatnonzero(counts)
        if len(filled):
            starts = np.concatenate(([0], np.cumsum(counts[filled])[:-1]))
            bands[start + filled] = _band_numbers(_minima(hashes, starts))
            has_words[start + filled] = True
    return Signatures(bands, has_words)


def _chunks(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(index of the first, folded texts), about CHUNK_CHARS at a time."""
    start, chunk, size = 0, list[str](), 0
    for index, text in enumerate(texts):
        chunk.append(folded(text))
        size += len(chunk[-1]) + 1
        if size >= CHUNK_CHARS:
            yield start, chunk
            start, chunk, size = index + 1, [], 0
    if chunk:
        yield start, chunk


def _shingle_hashes(texts: list[str]) -> tuple[NDArray[np.int64], Codes]:
    """(how many shingles each text has, all of them in order). Cut as `data_checks.shingles` cuts; repeats stay in."""
    codes = np.frombuffer(" ".join([*texts, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    begins, words = _words(codes)
    ends = np.cumsum([len(text) + 1 for text in texts])
    text_of = np.searchsorted(ends, begins, side="right")
    lengths = np.bincount(text_of, minlength=len(texts))
    last = np.cumsum(lengths)[text_of]  # index of the first word behind the text
    index = np.arange(len(words))
    is_whole = index + 2 < last
    is_short = (index == last - lengths[text_of]) & (lengths[text_of] < 3)
    padded: Hashes = np.concatenate((words, np.zeros(2, np.uint64)))
    second: Hashes = np.where(index + 1 < last, padded[1:-1], np.uint64(0))
    third: Hashes = np.where(is_whole, padded[2:], np.uint64(0))
    mixed = _mixed(words * _PLACES[0] + second * _PLACES[1] + third * _PLACES[2])
    kept = is_whole | is_short
    return np.bincount(text_of[kept], minlength=len(texts)), (mixed[kept] >> np.uint64(32)).astype(np.uint32)


def _words(codes: Codes) -> tuple[NDArray[np.int64], Hashes]:
    """Where each word begins, and its hash: a polynomial of its characters, cut out of that of the whole text."""
    edges = np.diff(_word_characters()[codes].astype(np.int8), prepend=0, append=0)
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    powers = _powers(_BASE, len(codes))
    summed = np.concatenate((np.zeros(1, np.uint64), np.cumsum((codes + np.uint64(1)) * powers)))
    return begins, _mixed((summed[ends] - summed[begins]) * _powers(_INVERSE, len(codes))[begins])


@cache
def _word_characters() -> NDArray[np.bool_]:
    r"""For each code point whether it belongs to a word, as re's \w says."""
    return np.fromiter((c == 95 or chr(c).isalnum() for c in range(0x110000)), np.bool_, 0x110000)


_known_powers: dict[int, Hashes] = {}


def _powers(base: int, n: int) -> Hashes:
    found = _known_powers.get(base)
    if found is None or len(found) < n:
        factors = np.full(max(n, 2 * CHUNK_CHARS), base, np.uint64)
        factors[0] = 1
        made = np.cumprod(factors)
        if n > 2 * CHUNK_CHARS:
            return made[:n]  # One enormous text: not worth to be kept.
        found = _known_powers[base] = made
    return found[:n]


def _mixed(values: Hashes) -> Hashes:
    """MurmurHash3's finaliser: an affine permutation of unmixed hashes keeps their order too well."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


@cache
def _permutations() -> tuple[Codes, Codes]:
    """Odd factors and offsets of datasketch's own scheme: what it would sign, signed here for many texts at once.

    Imported with the first signature: the library brings scipy along, half a second that most processes never need.
    """
    from datasketch import MinHash

    factors, offsets = MinHash(num_perm=BANDS * ROWS, seed=1, scheme="affine32").permutations
    return factors, offsets


def _minima(hashes: Codes, starts: NDArray[np.int64]) -> Codes:
    """The least value of every permutation (row) over each text (column)."""
    found = np.empty((BANDS * ROWS, len(starts)), np.uint32)
    permuted = np.empty_like(hashes)
    for row, (factor, offset) in enumerate(zip(*_permutations(), strict=True)):
        np.multiply(hashes, factor, out=permuted)
        np.add(permuted, offset, out=permuted)
        np.minimum.reduceat(permuted, starts, out=found[row])
    return found


def _band_numbers(minima: Codes) -> NDArray[np.int64]:
    numbers = np.empty((minima.shape[1], BANDS), np.int64)
    for band in range(BANDS):
        numbers[:, band] = _folded(minima[band * ROWS : (band + 1) * ROWS]).astype(np.int64)
    return numbers


def _folded(rows: Codes) -> Hashes:
    state = np.full(rows.shape[1], 0xCBF29CE484222325, np.uint64)
    for row in rows.astype(np.uint64):
        state = (state ^ row) * np.uint64(0x100000001B3)
        state = state ^ (state >> np.uint64(29))
    return state
