"""Texts that mean the same, by the angle between their vectors."""

import hashlib
import re
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from rondel.chat import Embedder
from rondel.gateway.dataplane.cache.ports import RING, Near, Row
from rondel.serving.ports import EMBEDDERS

ROWS_LIMIT = 32_768
"""Vectors that are held in all; the group that was not asked for longest gives way."""
_MARK, _CODE = 8, 4
_WORD = re.compile(r"\w+")
_ROUNDING = 1e-6
"""By how much float32 may tell the similarity of a text to itself too low."""
MOST = 8
"""Near texts that are told: the answer to the nearest may be too old."""


class _Ring:
    """The newest vectors of one group."""

    def __init__(self, dimensions: int) -> None:
        self._vectors: NDArray[np.float32] = np.zeros((16, dimensions), dtype=np.float32)
        self._next = 0
        self.keys: list[bytes] = []
        self.words: list[bytes] = []
        self.last = b""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """`(n, d)`, n up to RING; row i belongs to key i."""
        return self._vectors[: len(self.keys)]

    def add(self, rows: Sequence[Row]) -> None:
        """Take them in, in their order, the oldest giving their places."""
        for row in rows:
            if len(self.keys) < RING:
                if len(self.keys) == len(self._vectors):
                    self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
                self.keys.append(row.key)
                self.words.append(b"")
            vector, words = _apart(row.vector, self._vectors.shape[1])
            self.keys[self._next], self.words[self._next] = row.key, words
            self._vectors[self._next] = vector
            self._next = (self._next + 1) % RING
        self.last = rows[-1].at


@dataclass
class EmbeddedNearness:
    """Vectors of an installed embedder; all of a group are compared."""

    embedder: str = "wordllama"
    _rings: "OrderedDict[bytes, _Ring]" = field(default_factory=OrderedDict[bytes, _Ring])

    def __post_init__(self) -> None:
        self._embedder: Embedder = EMBEDDERS.get(self.embedder)()
        name = f"{self._embedder.name} {self._embedder.version}"
        self._mark = hashlib.blake2b(name.encode(), digest_size=_MARK).digest()

    def vector(self, text: str) -> bytes:
        """Its embedding and the order of its words; empty for a text without a word."""
        found = self._embedder.embed([text])[0]
        return self._mark + found.tobytes() + _words(text) if found.any() else b""

    def last(self, group: bytes) -> bytes:
        """As in `Nearness`."""
        ring = self._rings.get(group)
        return ring.last if ring is not None else b""

    def learn(self, group: bytes, rows: Sequence[Row]) -> None:
        """As in `Nearness`; rows of another embedder, or of another version of it, are passed over."""
        fitting = [row for row in rows if row.vector.startswith(self._mark)]
        if not fitting:
            return
        ring = self._rings.setdefault(group, _Ring(self._embedder.dimensions))
        ring.add(fitting)
        self._rings.move_to_end(group)
        while len(self._rings) > 1 and sum(len(each.keys) for each in self._rings.values()) > ROWS_LIMIT:
            self._rings.popitem(last=False)

    def nearest(self, group: bytes, vector: bytes, floor: float) -> list[Near]:
        """As in `Nearness`."""
        ring = self._rings.get(group)
        if ring is None:
            return []
        self._rings.move_to_end(group)
        direction, words = _apart(vector, self._embedder.dimensions)
        likeness = ring.vectors @ direction
        near = np.flatnonzero(likeness >= floor - _ROUNDING)
        ordered = [int(place) for place in near[np.argsort(-likeness[near], kind="stable")]]
        same = (place for place in ordered if in_one_order(words, ring.words[place]))
        return [Near(ring.keys[place], float(likeness[place])) for place in islice(same, MOST)]

    def forget(self) -> None:
        """As in `Nearness`."""
        self._rings.clear()


def _words(text: str) -> bytes:
    """Four bytes for each word, whatever its case."""
    return b"".join(crc32(word.encode()).to_bytes(_CODE) for word in _WORD.findall(text.casefold()))


def _apart(vector: bytes, dimensions: int) -> tuple[NDArray[np.float32], bytes]:
    """Direction and words."""
    end = _MARK + 4 * dimensions
    return np.frombuffer(vector[_MARK:end], dtype=np.float32), vector[end:]


def in_one_order(first: bytes, second: bytes) -> bool:
    """Whether the words that both texts have once stand in the same order in both; each is four bytes.

    The mean of the words' vectors does not know their order: to it, Ann pays Bob and Bob pays Ann are one.
    """
    one, other = ([text[at : at + _CODE] for at in range(0, len(text), _CODE)] for text in (first, second))
    times, times_other = Counter(one), Counter(other)
    common = {word for word, count in times.items() if count == times_other[word] == 1}
    return [word for word in one if word in common] == [word for word in other if word in common]
