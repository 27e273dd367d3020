"""Where answers lie, and who knows which texts are near each other."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rondel.gateway.caching import Kept
from rondel.plugins import Plugins


class Row(NamedTuple):
    """A text of a group by its vector (whatever a `Nearness` makes of it), and the key of the answer to it.

    `at` grows with every row of a group.
    """

    at: bytes
    key: bytes
    vector: bytes


class Filed(NamedTuple):
    """An answer on its way to the shelf; `group` and `vector` are empty where only the same request finds it."""

    place: bytes
    """Of the route: what all its answers may take together is bounded."""
    key: bytes
    kept: Kept
    max_bytes: int
    ttl_s: float
    group: bytes = b""
    vector: bytes = b""


class Shelf(Protocol):
    """Holds answers for all workers of a machine."""

    def find(self, key: bytes) -> Kept | None:
        """The answer under a key, however old. Called in the event loop: it takes microseconds and waits for nobody."""
        ...

    def keep(self, filed: Sequence[Filed]) -> None:
        """Put answers down, in place of older ones under their keys; the oldest of a route give way. May wait."""
        ...

    def rows(self, group: bytes, after: bytes, most: int) -> list[Row]:
        """The last `most` rows of a group behind `after`, in their order. May take a while."""
        ...

    def close(self) -> None:
        """No more is asked."""
        ...


class Near(NamedTuple):
    """The key of an answer to a text that is near, and the cosine similarity of the two texts."""

    key: bytes
    similarity: float


class Nearness(Protocol):
    """Knows texts by their meaning. Called in one thread, never in the event loop."""

    def vector(self, text: str) -> bytes:
        """What stands for a text; empty where nothing can be said of it."""
        ...

    def last(self, group: bytes) -> bytes:
        """The last row of a group that it knows; empty when it knows none."""
        ...

    def learn(self, group: bytes, rows: Sequence[Row]) -> None:
        """Take in more rows of a group; the oldest are forgotten where there are too many."""
        ...

    def nearest(self, group: bytes, vector: bytes, floor: float) -> list[Near]:
        """The nearest texts of a group from a similarity of `floor` on, the nearest first."""
        ...


NEARNESS: Plugins[Nearness] = Plugins("rondel.nearness")
RING = 4096
"""Texts of one group that are compared: the newest."""
