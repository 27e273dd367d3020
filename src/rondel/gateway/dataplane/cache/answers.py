"""What one worker does about kept answers for all its requests: it finds them at once, and files them and looks for
near ones in threads, so that the event loop waits for neither a disk nor a model of meanings. Every queue before a
thread is bounded: what does not fit is not looked up, or not kept, and counted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import lmdb
import structlog

from rondel.errors import RondelError
from rondel.gateway.caching import Kept, Question, order_of, place_of
from rondel.gateway.dataplane.cache.others import Others
from rondel.gateway.dataplane.cache.ports import RING, Filed, Near, Nearness, NearShelf, Size
from rondel.gateway.dataplane.cache.purging import Purging
from rondel.gateway.models import CacheMode, Route, Snapshot

log = structlog.get_logger()

WAITING_LIMIT = 1000
WAITING_BYTES = 32 * 1024 * 1024
"""Answers that wait to be written, and what they take; beyond that new ones are not kept."""
MEANING_LIMIT = 256
"""Texts that wait for the thread of meanings, of look-ups and of new answers together: what comes later would be looked
up too late in any case."""
CHANGE_OVER_S = 5.0
"""How often a worker looks whether another one has put the answers elsewhere: one that only reads learns it no other
way."""


class Sought(NamedTuple):
    """The vector of a text, and the answers to texts near it; empty where there is nothing to say."""

    vector: bytes
    near: Sequence[Near]


NOTHING = Sought(b"", ())


def knows(route: Route) -> str:
    """The orders to forget that a route's requests know of."""
    return f"{route.purged}/{route.shared_purged}"


class Answers:
    """One worker's. What opens the shelf, and what knows meanings, is called when the first route wants it; what
    `open_others` gives, if there is such a thing, is asked when this machine has no answer.
    """

    def __init__(
        self,
        *,
        open_shelf: Callable[[], NearShelf],
        open_nearness: Callable[[], Nearness],
        loop: asyncio.AbstractEventLoop,
        now_ns: Callable[[], int],
        open_others: Callable[[], Others] | None = None,
    ) -> None:
        self._open_shelf, self._open_nearness, self._open_others = open_shelf, open_nearness, open_others
        self._loop, self.now_ns = loop, now_ns
        self._shelf: NearShelf | None = None
        self._nearness: Nearness | None = None
        self._clerk: ThreadPoolExecutor | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._purging: Purging | None = None
        self.others: Others | None = None
        self._unwritten: dict[bytes, Kept] = {}
        self._waiting: list[Filed] = []
        self._looking_round: asyncio.TimerHandle | None = None
        self._held = self._held_bytes = self._reading = 0
        self._is_writing = False
        self._known: Mapping[bytes, str] = {}
        self._routes: Sequence[tuple[Route, bytes]] = ()
        self.shed: Counter[str] = Counter()
        """What there was no room for: `lookup` by meaning, `meaning` of a new answer, `answer`."""

    def begin(self, snapshot: Snapshot) -> None:
        """Make ready what its routes need, and forget what has to go. Where that fails, requests go on as if nothing
        were kept.
        """
        self._routes = [
            (route, place_of(route.project_id, route.environment, route.name))
            for route in snapshot.routes
            if route.cache is not None
        ]
        known = {place: knows(route) for route, place in self._routes}
        is_purged = any(known.get(place) != told for place, told in self._known.items())
        self._known = known
        if (self._routes or snapshot.purges) and self._shelf is None:
            self._open()
        if any(route.cache is not None and route.cache.mode is CacheMode.SEMANTIC for route, _ in self._routes):
            self._read()
        if is_purged:
            self._drop()
        orders = [order_of(purge) for purge in snapshot.purges]
        if self._purging is not None:
            self._purging.tell(orders)
        if self.others is not None:
            self.others.purge(orders)

    def find(self, key: bytes) -> Kept | None:
        """The answer under a key, however old."""
        kept = self._unwritten.get(key)
        return kept if kept is not None or self._shelf is None else self._shelf.find((key,))[0]

    def seek(self, question: Question, floor: float, then: Callable[[Sought], None]) -> None:
        """Look for answers to texts that are near, and call `then` with them in the event loop, later."""
        if self._reader is None or self._nearness is None:
            self._loop.call_soon(then, NOTHING)
        elif self._reading >= MEANING_LIMIT:
            self.shed["lookup"] += 1
            self._loop.call_soon(then, NOTHING)
        else:
            self._reading += 1
            looking = self._loop.run_in_executor(self._reader, self._look, question.group, question.text, floor)
            looking.add_done_callback(lambda done: then(self._told(done)))

    def keep(self, filed: Filed, text: str, *, is_new: bool = True) -> None:
        """Keep an answer; at once for this worker, and for the others when it is written. Not one whose request began
        before an order to forget it. One that is not new came from another machine.

        `text` is what its vector is made of where it has a group and no vector yet.
        """
        if self._shelf is None or self._is_gone(filed):
            return
        if self._held >= WAITING_LIMIT or self._held_bytes + len(filed.kept.body) > WAITING_BYTES:
            self.shed["answer"] += 1
            return
        self._held, self._held_bytes = self._held + 1, self._held_bytes + len(filed.kept.body)
        self._unwritten[filed.key] = filed.kept
        if self.others is not None and is_new:
            self.others.keep(filed)
        if filed.group and not filed.vector and self._reader is not None:
            if self._reading < MEANING_LIMIT:
                self._reading += 1
                making = self._loop.run_in_executor(self._reader, self._vector, text)
                making.add_done_callback(lambda done: self._file(filed._replace(vector=self._told(done).vector)))
                return
            self.shed["meaning"] += 1
        self._file(filed)

    def close(self) -> None:
        """Write what is left, which is waited for, as is the thread of meanings, for the texts that it has; a purge is
        broken off after its next few hundred answers, and made at the next start.
        """
        if self._looking_round is not None:
            self._looking_round.cancel()
        if self._purging is not None:
            self._purging.close()
        for thread in (self._reader, self._clerk):
            if thread is not None:
                thread.shutdown(cancel_futures=False)
        if self.others is not None:
            self.others.close()
        shelf, self._shelf = self._shelf, None
        if shelf is not None:
            if self._waiting:
                shelf.keep(self._waiting)
            shelf.close()

    def sizes(self, most: int) -> Iterator[tuple[Route, str, Size]]:
        """What each of at most `most` routes keeps, and where: on this `machine`, or `shared` with others."""
        if self._shelf is None:
            return
        routes = self._routes[:most]
        places = [place for _, place in routes]
        for (route, _), size in zip(routes, self._shelf.sizes(places), strict=True):
            yield route, "machine", size
        if self.others is not None:
            self.others.measure(places)
            for route, place in routes:
                if (size := self.others.sizes.get(place)) is not None:
                    yield route, "shared", size

    @property
    def is_used(self) -> bool:
        """Whether a route wanted it to keep anything."""
        return self._shelf is not None

    @property
    def pending(self) -> int:
        """Orders to forget that are not carried out."""
        own = self._purging.pending if self._purging is not None else 0
        return own + (self.others.pending if self.others is not None else 0)

    def _open(self) -> None:
        try:
            self._shelf = self._open_shelf()
        except (lmdb.Error, OSError) as error:
            log.warning("answers cannot be kept", reason=str(error))
            return
        self._clerk = ThreadPoolExecutor(1, "answers")
        self._purging = Purging(self._shelf, self._clerk, self._loop)
        self._looking_round = self._loop.call_later(CHANGE_OVER_S, self._look_round)
        try:
            self.others = self._open_others() if self._open_others is not None else None
        except (RondelError, ValueError) as error:
            log.warning("answers are not shared with other machines", reason=str(error))

    def _look_round(self) -> None:
        """Go on where the answers lie now."""
        if self._shelf is not None and self._clerk is not None:
            changing = self._loop.run_in_executor(self._clerk, self._shelf.change_over)
            changing.add_done_callback(self._looked_round)

    def _looked_round(self, done: "asyncio.Future[None]") -> None:
        if done.cancelled() or self._shelf is None:
            return
        if (error := done.exception()) is not None:
            log.warning("the file of kept answers cannot be opened", reason=str(error))
        self._looking_round = self._loop.call_later(CHANGE_OVER_S, self._look_round)

    def _read(self) -> None:
        """Begin to know meanings."""
        if self._reader is None and self._shelf is not None:
            self._reader = ThreadPoolExecutor(1, "meaning")
            self._loop.run_in_executor(self._reader, self._load)

    def _is_gone(self, filed: Filed) -> bool:
        """Whether its request began before an order to forget that is in force now."""
        return self._known.get(filed.place) != filed.purged

    def _drop(self) -> None:
        """Write nothing of what has to go, and know nothing of what it meant."""
        for filed in self._waiting:
            if self._is_gone(filed):
                self._let_go(filed)
        self._waiting = [filed for filed in self._waiting if not self._is_gone(filed)]
        if self.others is not None:
            self.others.drop(self._is_gone)
        if self._reader is not None:
            self._loop.run_in_executor(self._reader, self._forget)

    def _let_go(self, filed: Filed) -> None:
        """It waits no more."""
        self._held, self._held_bytes = self._held - 1, self._held_bytes - len(filed.kept.body)
        if self._unwritten.get(filed.key) is filed.kept:
            del self._unwritten[filed.key]

    def _file(self, filed: Filed) -> None:
        if self._is_gone(filed):
            self._let_go(filed)
            return
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
            self._let_go(filed)
        if self._waiting:
            self._write()

    def _told(self, done: "asyncio.Future[Sought]") -> Sought:
        """What the thread of meanings found; nothing where it failed, which is logged."""
        self._reading -= 1
        if done.cancelled():
            return NOTHING
        if (error := done.exception()) is not None:
            log.warning("near answers were not looked for", reason=repr(error))
            return NOTHING
        return done.result()

    # In the thread of meanings

    def _load(self) -> None:
        try:
            nearness = self._open_nearness()
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

    def _forget(self) -> None:
        if self._nearness is not None:
            self._nearness.forget()
