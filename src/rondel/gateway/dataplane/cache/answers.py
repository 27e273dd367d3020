"""What one worker does about kept answers for all its requests: it finds them at once, and files them and looks for
near ones in threads, so that the event loop waits for neither a disk nor a model of meanings.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import lmdb
import structlog

from rondel.errors import RondelError
from rondel.gateway.caching import Kept, Question
from rondel.gateway.dataplane.cache.ports import NEARNESS, RING, Filed, Near, Nearness, Shelf
from rondel.gateway.models import CacheMode, CacheSettings

log = structlog.get_logger()

WAITING_LIMIT = 1000
"""Answers that wait to be written; beyond that new ones are not kept."""


class Sought(NamedTuple):
    """The vector of a text, and the answers to texts near it; empty where there is nothing to say."""

    vector: bytes
    near: Sequence[Near]


NOTHING = Sought(b"", ())


class Answers:
    """One worker's. `open_shelf` is called, and the plugin `nearness` loaded, when the first route wants them."""

    def __init__(
        self,
        *,
        open_shelf: Callable[[], Shelf],
        nearness: str,
        loop: asyncio.AbstractEventLoop,
        now_ns: Callable[[], int],
    ) -> None:
        self._open_shelf, self._plugin = open_shelf, nearness
        self._loop, self.now_ns = loop, now_ns
        self._shelf: Shelf | None = None
        self._nearness: Nearness | None = None
        self._clerk: ThreadPoolExecutor | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._unwritten: dict[bytes, Kept] = {}
        self._waiting: list[Filed] = []
        self._is_writing = False

    def begin(self, settings: Iterable[CacheSettings | None]) -> None:
        """Make ready what routes with these settings need. Where that fails, requests go on as if nothing were kept."""
        modes = {each.mode for each in settings if each is not None}
        if modes and self._shelf is None:
            try:
                self._shelf = self._open_shelf()
            except (lmdb.Error, OSError) as error:
                log.warning("answers cannot be kept", reason=str(error))
                return
            self._clerk = ThreadPoolExecutor(1, "answers")
        if CacheMode.SEMANTIC in modes and self._reader is None:
            self._reader = ThreadPoolExecutor(1, "meaning")
            self._loop.run_in_executor(self._reader, self._load)

    def find(self, key: bytes) -> Kept | None:
        """The answer under a key, however old."""
        kept = self._unwritten.get(key)
        return kept if kept is not None or self._shelf is None else self._shelf.find(key)

    def seek(self, question: Question, floor: float, then: Callable[[Sought], None]) -> None:
        """Look for answers to texts that are near, and call `then` with them in the event loop, later."""
        if self._reader is None:
            self._loop.call_soon(then, NOTHING)
            return
        looking = self._loop.run_in_executor(self._reader, self._look, question.group, question.text, floor)
        looking.add_done_callback(lambda done: then(_told(done)))

    def keep(self, filed: Filed, text: str) -> None:
        """Keep an answer; at once for this worker, and for the others when it is written.

        `text` is what its vector is made of where it has a group and no vector yet.
        """
        if self._shelf is None or len(self._waiting) >= WAITING_LIMIT:
            return
        self._unwritten[filed.key] = filed.kept
        if filed.group and not filed.vector and self._reader is not None:
            making = self._loop.run_in_executor(self._reader, self._vector, text)
            making.add_done_callback(lambda done: self._file(filed._replace(vector=_told(done).vector)))
        else:
            self._file(filed)

    def close(self) -> None:
        """Write what is left."""
        for thread in (self._reader, self._clerk):
            if thread is not None:
                thread.shutdown(cancel_futures=False)
        shelf, self._shelf = self._shelf, None
        if shelf is not None:
            if self._waiting:
                shelf.keep(self._waiting)
            shelf.close()

    def _file(self, filed: Filed) -> None:
        self._waiting.append(filed)
        if not self._is_writing:
            self._write()

    def _write(self) -> None:
        """Write all that waits in one transaction."""
        shelf, clerk = self._shelf, self._clerk
        if shelf is None or clerk is None:
            return
        batch, self._waiting = self._waiting, []
        self._is_writing = True
        self._loop.run_in_executor(clerk, shelf.keep, batch).add_done_callback(partial(self._written, batch))

    def _written(self, batch: Sequence[Filed], done: "asyncio.Future[None]") -> None:
        self._is_writing = False
        if not done.cancelled() and (error := done.exception()) is not None:
            log.warning("answers were not kept", count=len(batch), reason=str(error))
        for filed in batch:
            if self._unwritten.get(filed.key) is filed.kept:
                del self._unwritten[filed.key]
        if self._waiting:
            self._write()

    # In the thread of meanings

    def _load(self) -> None:
        try:
            nearness = NEARNESS.get(self._plugin)()
            nearness.vector("ready")
            self._nearness = nearness
        except RondelError as error:
            log.warning("answers are not found by meaning", reason=error.message)

    def _vector(self, text: str) -> Sought:
        return Sought(self._nearness.vector(text), ()) if self._nearness is not None else NOTHING

    def _look(self, group: bytes, text: str, floor: float) -> Sought:
        nearness, shelf = self._nearness, self._shelf
        vector = nearness.vector(text) if nearness is not None else b""
        if nearness is None or shelf is None or not vector:
            return NOTHING
        nearness.learn(group, shelf.rows(group, nearness.last(group), RING))
        return Sought(vector, nearness.nearest(group, vector, floor))


def _told(done: "asyncio.Future[Sought]") -> Sought:
    """What a thread found; nothing where it failed, which is logged."""
    if done.cancelled():
        return NOTHING
    if (error := done.exception()) is not None:
        log.warning("near answers were not looked for", reason=repr(error))
        return NOTHING
    return done.result()
