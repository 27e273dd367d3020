"""Orders to forget that a worker carries out: none is lost, and a shelf that fails is asked once in a while."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from rondel.errors import Unavailable
from rondel.gateway.caching import Order, order_of
from rondel.gateway.dataplane.cache.memory import MemoryShelf
from rondel.gateway.dataplane.cache.ports import NEVER
from rondel.gateway.dataplane.cache.purging import Purging
from rondel.gateway.purges.models import Purge
from tests.unit.gateway.answering import until

AGAIN_S = 0.05


class Scripted(MemoryShelf):
    """Carries out orders when the test lets it, and fails in those runs that the test says."""

    def __init__(self, fails: Callable[[int], bool]) -> None:
        super().__init__()
        self._fails = fails
        self.free = threading.Event()
        self.free.set()
        self.runs = 0
        self.done: list[str] = []

    def purge(self, orders: Sequence[Order], stop: threading.Event = NEVER) -> bool:
        run, self.runs = self.runs, self.runs + 1
        while not self.free.wait(0.01):
            if stop.is_set():
                return False
        if self._fails(run):
            raise Unavailable("Nobody is there.")
        self.done += [order.token for order in orders]
        return True


def orders(*tokens: str) -> list[Order]:
    """Each about another route."""
    return [order_of(Purge(project_id="prj", environment="live", token=token, route=token)) for token in tokens]


def run(shelf: Scripted, test: Callable[[Purging], Awaitable[None]]) -> None:
    """A test in a loop of its own, with a worker that has heard of no order yet."""

    async def inside() -> None:
        with ThreadPoolExecutor(1) as clerk:
            purging = Purging(shelf, clerk, asyncio.get_running_loop())
            purging.tell([])
            try:
                await test(purging)
            finally:
                purging.close()
                shelf.free.set()

    asyncio.run(inside())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is long for a test."""
    monkeypatch.setattr("rondel.gateway.dataplane.cache.purging.AGAIN_S", AGAIN_S)


def test_snapshots_that_come_while_a_shelf_fails_add_no_tries() -> None:
    shelf = Scripted(lambda _: True)

    async def test(purging: Purging) -> None:
        for number in range(20):
            purging.tell(orders(*(f"pur_{at}" for at in range(number // 5 + 1))))
            await asyncio.sleep(AGAIN_S / 5)
        before = shelf.runs
        await asyncio.sleep(AGAIN_S * 10)
        assert 1 <= shelf.runs - before <= 11
        assert before <= 6
        assert purging.pending == 4

    run(shelf, test)


@pytest.mark.parametrize("failing", [{0}, {0, 2}, {0, 3}, {0, 1, 3}, {0, 2, 3, 4}])
def test_an_order_that_comes_while_others_are_tried_again_is_not_lost(failing: set[int]) -> None:
    shelf = Scripted(failing.__contains__)

    async def test(purging: Purging) -> None:
        purging.tell(orders("pur_1"))
        await until(lambda: shelf.runs == 1)
        shelf.free.clear()
        await asyncio.sleep(AGAIN_S / 5)
        purging.tell(orders("pur_1", "pur_2"))
        await asyncio.sleep(AGAIN_S * 4)
        assert shelf.runs == 2, "one try at a time"
        purging.tell(orders("pur_1", "pur_2", "pur_3"))
        assert purging.pending == 3
        shelf.free.set()
        await until(lambda: purging.pending == 0)
        assert shelf.done == ["pur_1", "pur_2", "pur_3"], "each of them once"

    run(shelf, test)


def test_a_worker_that_stops_tries_no_more() -> None:
    shelf = Scripted(lambda _: True)

    async def test(purging: Purging) -> None:
        purging.tell(orders("pur_1"))
        await until(lambda: shelf.runs == 1)
        await asyncio.sleep(AGAIN_S / 5)
        purging.close()
        await asyncio.sleep(AGAIN_S * 3)
        assert shelf.runs == 1
        assert purging.pending == 1

    run(shelf, test)


def test_a_worker_that_stops_breaks_off_what_is_in_hand_and_begins_nothing_that_waits() -> None:
    shelf = Scripted(lambda _: False)

    async def test(purging: Purging) -> None:
        shelf.free.clear()
        purging.tell(orders("pur_1"))
        await until(lambda: shelf.runs == 1)
        purging.tell(orders("pur_1", "pur_2"))
        purging.close()
        await asyncio.sleep(AGAIN_S * 3)
        assert (shelf.runs, shelf.done, purging.pending) == (1, [], 2)

    run(shelf, test)
