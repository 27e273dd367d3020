"""Answers that other machines keep too: asked for in a thread, and only for so long as is bearable.

The event loop waits for nothing, and a request for one batch of others and its own, `PATIENCE_S` each at most: then all
go on as if nothing were kept, and nobody is asked for a while.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import structlog

from rondel.errors import RondelError, Unavailable
from rondel.gateway.caching import Kept, Order
from rondel.gateway.dataplane.cache.ports import Filed, Shelf, Size
from rondel.gateway.dataplane.cache.purging import Purging

log = structlog.get_logger()

PATIENCE_S = 0.05
"""How long a batch of look-ups may take."""
AGAIN_S = 1.0
"""How long nobody is asked after one that took longer, or failed."""
ASKING_LIMIT = 64
"""Requests that wait for the next batch; beyond that they are misses."""
WRITING_LIMIT = 64
"""Answers that wait to be written; beyond that they are not shared."""
LARGEST = 262_144
"""Bytes of the largest answer that is shared."""
MEASURED_S = 10.0
"""How often it is asked how much is kept."""

Told = Callable[[Kept | None], None]


class _Look(NamedTuple):
    key: bytes
    then: Told


class Others:
    """One worker's way to a shelf that machines share."""

    def __init__(self, shelf: Shelf, loop: asyncio.AbstractEventLoop) -> None:
        self._shelf, self._loop = shelf, loop
        self._reader, self._clerk = ThreadPoolExecutor(1, "shared-look"), ThreadPoolExecutor(1, "shared-keep")
        self._purging = Purging(shelf, self._clerk, loop)
        self._asking: list[_Look] = []
        self._batch: list[_Look] | None = None
        self._writing: list[Filed] = []
        self._is_reading = self._is_writing = self._is_measuring = False
        self._down_until = self._unwritable_until = self._measured_at = 0.0
        self._is_down = self._is_stuck = False
        self.outcomes: Counter[str] = Counter()
        """`hit`, `miss`; `late` and `failed` for look-ups that got no answer; `down` and `full` for those that were not
        made; `unkept` for answers that were not shared."""
        self.sizes: dict[bytes, Size] = {}
        """What routes keep there, as it was lately."""

    @property
    def pending(self) -> int:
        """Orders to forget that are not carried out."""
        return self._purging.pending

    def find(self, key: bytes, then: Told) -> bool:
        """Look for an answer, and call `then` with it or with None, later. False: nobody can be asked now."""
        if self._is_stuck or self._loop.time() < self._down_until:
            self.outcomes["down"] += 1
            return False
        if len(self._asking) >= ASKING_LIMIT:
            self.outcomes["full"] += 1
            return False
        self._asking.append(_Look(key, then))
        if not self._is_reading:
            self._is_reading = True
            self._loop.call_soon(self._look)  # with all others of this turn of the loop
        return True

    def keep(self, filed: Filed) -> None:
        """Share an answer; one that is too large, or that there is no room or no Redis for, is not."""
        is_down = self._loop.time() < self._unwritable_until
        if len(filed.kept.body) > LARGEST or is_down or len(self._writing) >= WRITING_LIMIT:
            self.outcomes["unkept"] += 1
            return
        self._writing.append(filed)
        if not self._is_writing:
            self._write()

    def drop(self, is_gone: Callable[[Filed], bool]) -> None:
        """Do not write what waits and has to go."""
        self._writing = [filed for filed in self._writing if not is_gone(filed)]

    def purge(self, orders: Sequence[Order]) -> None:
        """What a snapshot says is to be gone."""
        self._purging.tell(orders)

    def measure(self, places: Sequence[bytes]) -> None:
        """Ask from time to time how much these routes keep."""
        now = self._loop.time()
        if self._is_measuring or now < max(self._measured_at, self._down_until):
            return
        self._is_measuring, self._measured_at = True, now + MEASURED_S
        asking = self._loop.run_in_executor(self._clerk, self._shelf.sizes, places)
        asking.add_done_callback(lambda done: self._measured(places, done))

    def close(self) -> None:
        """The end. What the two threads have asked is waited for: half a second for each where Redis hangs, and a bit
        more where it is slow and a purge, which is broken off, has its last few hundred answers in hand.
        """
        self._purging.close()
        self._reader.shutdown(cancel_futures=True)
        self._clerk.shutdown(cancel_futures=True)
        self._shelf.close()

    def _look(self) -> None:
        """Ask for the next batch."""
        batch, self._asking = self._asking, []
        self._is_reading = bool(batch)
        if not batch:
            return
        self._batch = batch
        timer = self._loop.call_later(PATIENCE_S, self._late, batch)
        looking = self._loop.run_in_executor(self._reader, self._shelf.find, [look.key for look in batch])
        looking.add_done_callback(lambda done: self._found(batch, timer, done))

    def _found(self, batch: list[_Look], timer: asyncio.TimerHandle, done: "asyncio.Future[list[Kept | None]]") -> None:
        timer.cancel()
        if done.cancelled():
            return
        is_awaited, self._batch, self._is_stuck = self._batch is batch, None, False
        error = _failure(done)
        if error is not None:
            self._fail(error.message, "failed", batch if is_awaited else [])
            self._is_reading = False
            return
        if self._is_down:
            self._is_down = False
            log.info("the shared cache answers again")
        if is_awaited:
            for look, kept in zip(batch, done.result(), strict=True):
                self.outcomes["hit" if kept is not None else "miss"] += 1
                look.then(kept)
        self._look()

    def _late(self, batch: list[_Look]) -> None:
        """It took too long: whoever waits goes on. Nobody is asked before the thread is back."""
        self._batch, self._is_stuck = None, True
        self._fail(f"no answer in {PATIENCE_S:g} s", "late", batch)

    def _fail(self, reason: str, outcome: str, batch: list[_Look]) -> None:
        self._down_until = self._loop.time() + AGAIN_S
        if not self._is_down:
            self._is_down = True
            log.warning("the shared cache does not answer", reason=reason)
        waiting, self._asking = [*batch, *self._asking], []
        self.outcomes[outcome] += len(waiting)
        for look in waiting:
            look.then(None)

    def _write(self) -> None:
        batch, self._writing = self._writing, []
        self._is_writing = True
        writing = self._loop.run_in_executor(self._clerk, self._shelf.keep, batch)
        writing.add_done_callback(lambda done: self._written(batch, done))

    def _written(self, batch: Sequence[Filed], done: "asyncio.Future[None]") -> None:
        self._is_writing = False
        if done.cancelled():
            return
        if (error := _failure(done)) is not None:
            self.outcomes["unkept"] += len(batch)
            self._unwritable_until = self._loop.time() + AGAIN_S
            self._fail(error.message, "failed", [])
        if self._writing:
            self._write()

    def _measured(self, places: Sequence[bytes], done: "asyncio.Future[list[Size]]") -> None:
        self._is_measuring = False
        if not done.cancelled() and _failure(done) is None:
            self.sizes = dict(zip(places, done.result(), strict=True))


def _failure(
    done: "asyncio.Future[list[Kept | None]] | asyncio.Future[None] | asyncio.Future[list[Size]]",
) -> RondelError | None:
    """Why there is no answer; a bug is logged as one, and costs no request its answer."""
    error = done.exception()
    if error is None or isinstance(error, RondelError):
        return error
    log.error("the shared cache failed", reason=repr(error))
    return Unavailable("the shared cache failed")
