"""Texts that mean the same, by the angle between their vectors."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rondel.chat import Embedder
from rondel.gateway.dataplane.cache.ports import RING, Near, Row
from rondel.serving.ports import EMBEDDERS

ROWS_LIMIT = 32_768
"""Vectors that are held in all; the group that was not asked for longest gives way."""
_MARK = 8
_ROUNDING = 1e-6
"""By how much float32 may tell the similarity of a text to itself too low."""
MOST = 8
"""Near texts that are told: the answer to the nearest may be too old."""


class _Ring:
    """The newest vectors of one group."""

    def __init__(self, dimensions: int) -> None:
        self.vectors: NDArray[np.float32] = np.zeros((0, dimensions), dtype=np.float32)
        self.keys: list[bytes] = []
        self.last = b""

    def add(self, rows: Sequence[Row]) -> None:
        """Take them in, in their order."""
        made = np.frombuffer(b"".join(row.vector[_MARK:] for row in rows), dtype=np.float32).reshape(len(rows), -1)
        self.vectors = np.concatenate([self.vectors, made])[-RING:]
        self.keys = [*self.keys, *(row.key for row in rows)][-RING:]
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
        """Its embedding; empty for a text without a word."""
        found = self._embedder.embed([text])[0]
        return self._mark + found.tobytes() if found.any() else b""

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
        likeness = ring.vectors @ np.frombuffer(vector[_MARK:], dtype=np.float32)
        near = np.flatnonzero(likeness >= floor - _ROUNDING)
        ordered = near[np.argsort(-likeness[near], kind="stable")][:MOST]
        return [Near(ring.keys[int(place)], float(likeness[place])) for place in ordered]
