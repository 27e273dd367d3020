"""Where answers lie, and who knows which texts are near each other."""

from collections.abc import Sequence
from threading import Event
from typing import NamedTuple, Protocol

from rondel.gateway.caching import SHARED, Kept, Order
from rondel.plugins import Plugins

NEVER = Event()
"""To stop at nothing."""


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
    keeper: bytes = SHARED
    """For whom it is kept, as orders to forget name them."""
    purged: str = ""
    """The orders to forget that its request knew of."""


class Size(NamedTuple):
    """How many answers of a route are kept, and the bytes that they take."""

    answers: int
    bytes: int


class Shelf(Protocol):
    """Holds answers for several workers. Safe in threads; everything may wait, unless it is said otherwise."""

    def find(self, keys: Sequence[bytes]) -> list[Kept | None]:
        """The answer under each key, however old, as long as it is there."""
        ...

    def keep(self, filed: Sequence[Filed]) -> None:
        """Put answers down, in place of older ones under their keys; the oldest of a route give way."""
        ...

    def unknown(self, orders: Sequence[Order]) -> list[Order]:
        """Those of them that it was not told to carry out yet."""
        ...

    def purge(self, orders: Sequence[Order], stop: Event = NEVER) -> bool:
        """Take away what they say, and nothing else, whatever it was told before; when it returns that is gone.

        False: `stop`, which is looked at again and again, was set before that. It has not been told to carry them out
        then, even if it was before: the next one who asks what is unknown has to.
        """
        ...

    def sizes(self, places: Sequence[bytes]) -> list[Size]:
        """What each route keeps; answers that are too old may be among it until they have given way."""
        ...

    def close(self) -> None:
        """No more is asked."""
        ...


class NearShelf(Shelf, Protocol):
    """Holds answers for all workers of a machine, with what their questions mean.

    `find` and `sizes` are called in the event loop: they take microseconds and wait for nobody.
    """

    def rows(self, group: bytes, after: bytes, most: int) -> list[Row]:
        """The last `most` rows of a group behind `after`, in their order. May take a while."""
        ...

    def change_over(self) -> None:
        """Go on where answers lie now, should another worker have put them elsewhere. May take a while; called in the
        thread that keeps and purges.
        """
        ...


class SharedShelf(Shelf, Protocol):
    """Holds answers for several machines; made with a DSN. A call that gets no answer raises `Unavailable` about half a
    second after it asked: a question has a quarter of a second, and is asked once more.
    """

    def __init__(self, dsn: str) -> None: ...


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

    def forget(self) -> None:
        """Nothing that it learned is known any more."""
        ...


NEARNESS: Plugins[Nearness] = Plugins("rondel.nearness")
SHELVES: Plugins[SharedShelf] = Plugins("rondel.shelves")
RING = 4096
"""Texts of one group that are compared: the newest."""
