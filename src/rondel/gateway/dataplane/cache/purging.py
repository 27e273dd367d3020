"""Orders to forget that one worker carries out, in a thread, again and again until they are."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor

import structlog

from rondel.gateway.caching import Order
from rondel.gateway.dataplane.cache.ports import Shelf

log = structlog.get_logger()

AGAIN_S = 1.0
"""After this long an order that could not be carried out is tried again."""


class Purging:
    """One worker's orders to one shelf. An answer that has to go is not found any more before: its key is another."""

    def __init__(self, shelf: Shelf, clerk: Executor, loop: asyncio.AbstractEventLoop) -> None:
        self._shelf, self._clerk, self._loop = shelf, clerk, loop
        self._told: dict[bytes, str] | None = None
        self._new: list[Order] = []
        self._sure: list[Order] = []
        self._is_busy = self._is_failing = self._is_closed = False

    @property
    def pending(self) -> int:
        """How many orders are not carried out."""
        return len(self._new) + len(self._sure)

    def tell(self, orders: Sequence[Order]) -> None:
        """What a snapshot says. The first one tells much that was done long ago; but an order that comes while this
        worker runs is carried out even if another worker has done so, since answers that this one kept until now may
        have come behind it.
        """
        told, self._told = self._told, {order.name: order.token for order in orders}
        if told is None:
            self._new = list(orders)
        else:
            self._sure += [order for order in orders if told.get(order.name) != order.token]
        if self.pending and not self._is_busy:
            self._begin()

    def close(self) -> None:
        """What is not carried out by now, the next start does."""
        self._is_closed = True

    def _begin(self) -> None:
        if self._is_closed:
            return
        self._is_busy = True
        new, sure = list(self._new), list(self._sure)
        doing = self._loop.run_in_executor(self._clerk, self._carry_out, new, sure)
        doing.add_done_callback(lambda done: self._done(done, len(new), len(sure)))

    def _carry_out(self, new: Sequence[Order], sure: Sequence[Order]) -> None:
        """In the thread."""
        if orders := [*self._shelf.unknown(new), *sure]:
            self._shelf.purge(orders)

    def _done(self, doing: "asyncio.Future[None]", new: int, sure: int) -> None:
        self._is_busy = False
        if doing.cancelled():
            return
        if (error := doing.exception()) is not None:  # whatever it is, what has to go has to go
            if not self._is_failing:
                log.warning("kept answers are not purged yet", orders=self.pending, reason=repr(error))
            self._is_failing = True
            self._loop.call_later(AGAIN_S, self._begin)
            return
        self._is_failing = False
        del self._new[:new], self._sure[:sure]
        if self.pending:
            self._begin()
