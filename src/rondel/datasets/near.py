"""Near-duplicates between splits, found by MinHash with banding and confirmed by the exact Jaccard index.

Texts are compared as sets of five-character shingles of their normalised form. 144 hash values in 24 bands of 6 rows
find a pair of similarity 0.8 with probability 1 - (1 - 0.8^6)^24 = 0.9993, and one of 0.3 with 0.017; every candidate
is then measured exactly, so what is reported is never an estimate.
Sources: Broder, On the resemblance and containment of documents (1997); Leskovec, Rajaraman and Ullman, Mining of
Massive Datasets, chapter 3; multiply-shift hashing after Dietzfelbinger et al. (1997).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rondel.datasets.models import Leak

SHINGLE = 5
BANDS, ROWS = 24, 6
MAX_CANDIDATES = 2_000_000  # pairs measured in one check; only a set made of copies comes near it

_WORDS = re.compile(r"[^\w]+", re.UNICODE)
_RANDOM = np.random.default_rng(20260101)  # fixed: signatures are the same in every process
_FACTORS = _RANDOM.integers(0, 2**64, size=BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
_TERMS = _RANDOM.integers(0, 2**64, size=BANDS * ROWS, dtype=np.uint64)
_MIX = _RANDOM.integers(0, 2**64, size=ROWS, dtype=np.uint64) | np.uint64(1)
_BASE = np.uint64(0x9E3779B97F4A7C15)


def normalise(text: str) -> str:
    """Text as it is compared: NFKC, lower case, only letters and digits, single spaces."""
    return _WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def shingles(text: str) -> NDArray[np.uint64]:
    """The sorted hashes of the five-character pieces of the normalised text; one piece when it is shorter."""
    codes = np.frombuffer(normalise(text).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    size = min(SHINGLE, max(len(codes), 1))
    if not len(codes):
        return np.zeros(1, dtype=np.uint64)
    pieces = np.zeros(len(codes) - size + 1, dtype=np.uint64)
    for offset in range(size):
        pieces = pieces * _BASE + codes[offset : offset + len(pieces)] + np.uint64(1)
    pieces ^= pieces >> np.uint64(31)
    return np.unique(pieces * _BASE)


def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """The share of pieces that two texts have in common, 0 to 1."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)


def similarity(a: str, b: str) -> float:
    """The Jaccard index of two texts' shingles, 0 to 1."""
    return jaccard(shingles(a), shingles(b))


def leaks(
    ids: Sequence[str], splits: Sequence[str], text_of: Callable[[int], str], *, threshold: float = 0.8
) -> list[Leak]:
    """Pairs of different splits whose similarity is at least `threshold`, most similar first.

    `text_of(i)` gives the text of example i when it is asked for, so the texts need not be in memory together.
    """
    bands = np.empty((len(ids), BANDS), dtype=np.uint64)
    for position in range(len(ids)):
        bands[position] = _bands(shingles(text_of(position)))
    found: list[Leak] = []
    kept: dict[int, NDArray[np.uint64]] = {}
    for a, b in _candidates(bands, splits):
        for position in (a, b):
            if position not in kept:
                kept[position] = shingles(text_of(position))
        measured = jaccard(kept[a], kept[b])
        if measured >= threshold:
            found.append(Leak(ids[a], ids[b], measured, splits[a], splits[b]))
    return sorted(found, key=lambda leak: (-leak.similarity, leak.a, leak.b))


def _bands(pieces: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One number for each band of a signature; equal numbers mean equal rows."""
    hashes = (_FACTORS[:, None] * pieces[None, :] + _TERMS[:, None]) >> np.uint64(32)
    rows = hashes.min(axis=1).reshape(BANDS, ROWS) + np.uint64(1)
    mixed = rows * _MIX
    return (mixed ^ (mixed >> np.uint64(29))).sum(axis=1, dtype=np.uint64)


def _candidates(bands: NDArray[np.uint64], splits: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of different splits that share a band, each once."""
    seen: set[tuple[int, int]] = set()
    for column in range(BANDS):
        order = np.argsort(bands[:, column], kind="stable")
        ordered = bands[order, column]
        edges = np.flatnonzero(np.diff(ordered)) + 1
        for group in np.split(order, edges):
            if len(group) < 2:
                continue
            members = [int(member) for member in group]
            for index, a in enumerate(members):
                for b in members[index + 1 :]:
                    if splits[a] == splits[b] or (a, b) in seen:
                        continue
                    if len(seen) >= MAX_CANDIDATES:
                        return
                    seen.add((a, b))
                    yield a, b
