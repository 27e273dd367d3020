"""A second try beside the first, when that is slow to begin: the first good head wins, the other is cut off."""

import asyncio
from contextlib import suppress

from rondel.errors import RondelError
from rondel.gateway.dataplane.asking import Asked
from rondel.gateway.dataplane.breaking import blame
from rondel.gateway.dataplane.exchange import Exchange
from rondel.gateway.dataplane.limits import Ticket
from rondel.gateway.dataplane.ports import Reply
from rondel.gateway.dataplane.recording import Result, Tried
from rondel.gateway.dataplane.sending import Sent, send
from rondel.gateway.dataplane.upstream import Dial, Line
from rondel.gateway.dataplane.ways import Candidate, Lane, Way
from rondel.gateway.dataplane.wire import Answer
from rondel.gateway.dataplane.worker import Worker
from rondel.gateway.picking import hedge_after_s, paced
from rondel.gateway.rules import parse_retry_after

_PERHAPS_THE_CALLERS = 500
"""Its body, which is not read here, would say whose fault it is: first tries tell how well the target is."""
CUT = "was slower than another target and was cut off"


class Rival:
    """Listens to the second try; once it is adopted it hands everything on.

    Its try stands in the record before the first one's when it loses, so that the last one is the one that answered.
    """

    line: Line | Dial

    def __init__(self, of: "HedgedExchange", tried: Tried, sent: Sent) -> None:
        self.tried, self.sent = tried, sent
        self._of = of
        self._is_adopted = False

    def start(self) -> None:
        """Ask."""
        self.tried.candidate.breaker.begin()
        self.line = self.tried.candidate.endpoint.send(self, self.sent.request)

    def win(self) -> None:
        """From now on it is the request's only try."""
        self._is_adopted = True

    def cut(self) -> None:
        """The first try answers, or nobody waits any more."""
        self.line.abandon()
        cut_off(self.tried, self._of.now(), is_paced=self._of.is_paced)
        self._of.tried.insert(max(len(self._of.tried) - 1, 0), self.tried)
        self._of.part()

    def on_head(self, status: int, content_type: bytes, retry_after: bytes) -> None:
        """A good one wins."""
        if not self._is_adopted and status >= 300:
            self.tried.status, self.tried.first_byte = status, self._of.now()
            self._lose(f"answered with status {status}", status, retry_after)
            return
        if not self._is_adopted:
            self._of.adopt(self)
        self._of.on_head(status, content_type, retry_after)

    def on_data(self, data: bytes) -> None:
        """Handed on."""
        self._of.on_data(data)

    def on_end(self) -> None:
        """Handed on."""
        self._of.on_end()

    def on_failure(self, reason: str, *, is_stale: bool) -> None:
        """It is out, unless only its kept connection was."""
        if self._is_adopted:
            self._of.on_failure(reason, is_stale=is_stale)
        elif is_stale:
            self.tried.candidate.breaker.leave()
            self.start()
        else:
            self._lose(reason, 0, b"")

    def crash(self) -> None:
        """A bug of ours ended it."""
        self._of.crash()

    def _lose(self, reason: str, status: int, retry_after: bytes) -> None:
        now = self._of.now()
        self.line.abandon()
        self.tried.end(now, reason)
        asked_s = parse_retry_after(retry_after.decode("latin-1")) if retry_after else None
        if status == _PERHAPS_THE_CALLERS:
            self.tried.candidate.breaker.leave()
        else:
            blame(self.tried.candidate.breaker, status, asked_s, now, is_paced=self._of.is_paced)
        self._of.tried.insert(len(self._of.tried) - 1, self.tried)
        self._of.part()


def cut_off(tried: Tried, now: float, *, is_paced: bool) -> None:
    """The other of two tries answers: this one took at least as long."""
    tried.end(now, CUT)
    breaker = tried.candidate.breaker
    breaker.leave()
    if is_paced:
        breaker.pace = paced(breaker.pace, now - tried.started, now)


class HedgedExchange(Exchange):
    """A request whose route lets a second target be asked beside the first."""

    def __init__(
        self, worker: Worker, asked: Asked, way: Way, lane: Lane, ticket: Ticket, reply: Reply, pair_id: str = ""
    ) -> None:
        super().__init__(worker, asked, way, lane, ticket, reply, pair_id)
        self._hedging: asyncio.TimerHandle | None = None
        self._rival: Rival | None = None

    def now(self) -> float:
        """Monotonic seconds."""
        return self._worker.now()

    @property
    def is_paced(self) -> bool:
        """Whether the times to the first byte are kept."""
        return self.lane.is_paced

    def _ask(self, candidate: Candidate, now: float) -> None:
        super()._ask(candidate, now)
        hedge = self.lane.hedge
        if hedge is None or self._is_over or len(self.tried) != 1 or self._rival is not None:
            return
        after_s = hedge.after_s or hedge_after_s(candidate.breaker.pace)
        if self._hedging is not None:
            self._hedging.cancel()
        if after_s is not None:
            self._hedging = self._worker.loop.call_later(after_s, lambda: self._take(self._hedge))

    def _hedge(self) -> None:
        """No first byte came in time: ask the next target too, if there may be one more try."""
        if self._is_over or self._status or self._line is None or self._rival is not None or len(self.tried) != 1:
            return
        now, first = self._worker.now(), self.tried[0].candidate.breaker
        candidates = (one for one in self._order or self.lane.candidates if one.breaker is not first)
        candidate = next((one for one in candidates if one.breaker.wait_s(now) <= 0), None)
        if candidate is None or not self._worker.retries.take():
            return
        with suppress(RondelError):  # what this target cannot be asked, the first one still can
            sent = send(self, candidate, now)
            self._rival = Rival(self, Tried(candidate, now, why="hedge"), sent)
            self._rival.start()

    def adopt(self, rival: Rival) -> None:
        """The second try goes on alone: it was faster, or the first one failed."""
        if not self.tried[-1].ended:
            cut_off(self.tried[-1], self.now(), is_paced=self.is_paced)
            self._drop_line()
        self._status, self._retry_after, self._is_late, self._error_body = 0, None, False, b""
        self._intake, self._rival = None, None
        self._call, self.sent_body = rival.sent.call, rival.sent.told
        self.tried.append(rival.tried)
        self._line, self._last_byte = rival.line, rival.tried.started
        rival.win()
        if self._is_paused:
            self._line.pause()

    def part(self) -> None:
        """The second try is out."""
        self._rival = None

    def on_head(self, status: int, content_type: bytes, retry_after: bytes) -> None:
        """A good one ends the second try."""
        if self._rival is not None and status < 300:
            self._rival.cut()
        super().on_head(status, content_type, retry_after)

    def _go_on(self, status: int, now: float) -> None:
        if self._rival is not None:
            self.adopt(self._rival)
        else:
            super()._go_on(status, now)

    def _close(self, result: Result, answer: Answer | None) -> None:
        if self._hedging is not None:
            self._hedging.cancel()
        if self._rival is not None:
            self._rival.cut()
        super()._close(result, answer)
