"""Answers in a dictionary, for tests: of one process, and gone with it."""

from collections.abc import Sequence
from threading import Event

from rondel.gateway.caching import Kept, Order
from rondel.gateway.dataplane.cache.ports import NEVER, Filed, Row, Size


class MemoryShelf:
    """The twin of the shelves that keep something."""

    def __init__(self) -> None:
        self._filed: dict[bytes, Filed] = {}
        self._rows: dict[bytes, list[Row]] = {}
        self._known: dict[bytes, str] = {}

    def find(self, keys: Sequence[bytes]) -> list[Kept | None]:
        """As in `Shelf`."""
        return [self._filed[key].kept if key in self._filed else None for key in keys]

    def keep(self, filed: Sequence[Filed]) -> None:
        """As in `Shelf`."""
        for one in filed:
            if len(one.kept.body) > one.max_bytes:
                continue
            self._filed[one.key] = one
            if one.vector:
                rows = self._rows.setdefault(one.group, [])
                rows.append(Row(len(rows).to_bytes(8), one.key, one.vector))
            self._trim(one)

    def rows(self, group: bytes, after: bytes, most: int) -> list[Row]:
        """As in `NearShelf`."""
        return [row for row in self._rows.get(group, []) if row.at > after and row.key in self._filed][-most:]

    def unknown(self, orders: Sequence[Order]) -> list[Order]:
        """As in `Shelf`."""
        return [order for order in orders if self._known.get(order.name) != order.token]

    def purge(self, orders: Sequence[Order], stop: Event = NEVER) -> bool:
        """As in `Shelf`."""
        if stop.is_set():
            for order in orders:
                self._known.pop(order.name, None)
            return False
        self._known |= {order.name: order.token for order in orders}
        gone = [one for one in self._filed.values() if any(order.takes(one.place, one.keeper) for order in orders)]
        for one in gone:
            del self._filed[one.key]
        return True

    def change_over(self) -> None:
        """As in `NearShelf`."""

    def sizes(self, places: Sequence[bytes]) -> list[Size]:
        """As in `Shelf`."""
        held = [[len(one.kept.body) for one in self._filed.values() if one.place == place] for place in places]
        return [Size(len(each), sum(each)) for each in held]

    def close(self) -> None:
        """As in `Shelf`."""

    def _trim(self, new: Filed) -> None:
        """The oldest of a route give way, and what is too old."""
        before_ns = new.kept.at_ns - int(new.ttl_s * 1e9)
        ours = sorted((one for one in self._filed.values() if one.place == new.place), key=lambda one: one.kept.at_ns)
        held = sum(len(one.kept.body) for one in ours)
        for one in ours:
            if held <= new.max_bytes and one.kept.at_ns >= before_ns:
                break
            held -= len(one.kept.body)
            del self._filed[one.key]
