"""Orders to forget that one worker carries out, in a thread, again and again until they are."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from threading import Event
from typing import NamedTuple

import structlog

from rondel.gateway.caching import Order
from rondel.gateway.dataplane.cache.ports import Shelf

log = structlog.get_logger()

AGAIN_S = 1.0
"""After this long an order that could not be carried out is tried again."""


class _Orders(NamedTuple):
    """What is carried out unless the shelf was told before (`new`), and what is in any case."""

    new: tuple[Order, ...] = ()
    sure: tuple[Order, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.sure)

    def and_then(self, more: "_Orders") -> "_Orders":
        return _Orders(self.new + more.new, self.sure + more.sure)


class Purging:
    """One worker's orders to one shelf. An answer that has to go is not found any more before: its key is another.

    An order waits, is in hand, or is carried out; one run at a time has orders in hand, and gives them back when it
    fails.
    """

    def __init__(self, shelf: Shelf, clerk: Executor, loop: asyncio.AbstractEventLoop) -> None:
        self._shelf, self._clerk, self._loop = shelf, clerk, loop
        self._told: dict[bytes, str] | None = None
        self._waiting = self._in_hand = _Orders()
        self._again: asyncio.TimerHandle | None = None
        self._stop = Event()
        self._is_failing = False

    @property
    def pending(self) -> int:
        """How many orders are not carried out."""
        return sum(len(orders) for orders in (*self._waiting, *self._in_hand))

    def tell(self, orders: Sequence[Order]) -> None:
        """What a snapshot says. The first one tells much that was done long ago; but an order that comes while this
        worker runs is carried out even if another worker has done so, since answers that this one kept until now may
        have come behind it.
        """
        told, self._told = self._told, {order.name: order.token for order in orders}
        if told is None:
            more = _Orders(new=tuple(orders))
        else:
            more = _Orders(sure=tuple(order for order in orders if told.get(order.name) != order.token))
        self._waiting = self._waiting.and_then(more)
        if self._again is None:
            self._begin()

    def close(self) -> None:
        """What is not carried out by now, the next start does: what is in hand is broken off."""
        self._stop.set()
        if self._again is not None:
            self._again.cancel()

    def _begin(self) -> None:
        self._again = None
        if self._stop.is_set() or self._in_hand or not self._waiting:
            return
        self._in_hand, self._waiting = self._waiting, _Orders()
        self._loop.run_in_executor(self._clerk, self._carry_out, self._in_hand).add_done_callback(self._done)

    def _carry_out(self, orders: _Orders) -> bool:
        """In the thread; False where it was broken off."""
        todo = [*self._shelf.unknown(orders.new), *orders.sure]
        return not todo or self._shelf.purge(todo, self._stop)

    def _done(self, doing: "asyncio.Future[bool]") -> None:
        orders, self._in_hand = self._in_hand, _Orders()
        error = None if doing.cancelled() else doing.exception()
        if error is None and not doing.cancelled() and doing.result():
            self._is_failing = False
            self._begin()
            return
        self._waiting = orders.and_then(self._waiting)
        if self._stop.is_set():
            return
        if not self._is_failing:  # whatever it is, what has to go has to go
            log.warning("kept answers are not purged yet", orders=self.pending, reason=repr(error))
        self._is_failing = True
        self._again = self._loop.call_later(AGAIN_S, self._begin)
