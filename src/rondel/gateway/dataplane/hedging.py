"""A second try beside the first, when that is slow to begin: the first good head wins, the other is cut off."""

from typing import Protocol

from rondel.gateway.dataplane.breaking import blame
from rondel.gateway.dataplane.ports import Listener
from rondel.gateway.dataplane.recording import Tried
from rondel.gateway.dataplane.sending import Sent
from rondel.gateway.dataplane.upstream import Dial, Line
from rondel.gateway.picking import paced
from rondel.gateway.rules import parse_retry_after

CUT = "was slower than another target and was cut off"


class Hedged(Listener, Protocol):
    """The request whose first try is under way."""

    tried: list[Tried]
    is_paced: bool

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def adopt(self, rival: "Rival") -> None:
        """Go on with the second try alone."""
        ...

    def part(self) -> None:
        """The second try is out."""
        ...


class Rival:
    """Listens to the second try; once it is adopted it hands everything on.

    Its try stands in the record before the first one's when it loses, so that the last one is the one that answered.
    """

    line: Line | Dial

    def __init__(self, of: Hedged, tried: Tried, sent: Sent) -> None:
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
