"""The one way spans get into the columns: batched, without repeats, and acknowledged only when they are on disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

from rondel.clock import Clock
from rondel.errors import Unavailable
from rondel.storage.models import Scope
from rondel.telemetry.models import Span
from rondel.telemetry.rules import without_repeats
from rondel.telemetry.store import Store

WAITING_LIMIT = 50_000
"""Spans that may wait for the disk; more are refused, so that the sender keeps and repeats them."""

_BATCH = 5_000


@dataclass(slots=True)
class _Waiting:
    """One caller's spans on their way to the disk."""

    scope: Scope
    spans: Sequence[Span]
    duplicates: int = 0
    is_done: bool = False
    error: Exception | None = field(default=None)


class Intake:
    """Puts spans into the columns. Callers that come together are written together: one of them writes for all.

    Every batch gets a storing time later than that of any batch before, which is what listeners go by.
    """

    def __init__(self, store: Store, clock: Clock, *, waiting_limit: int = WAITING_LIMIT) -> None:
        self._store = store
        self._clock = clock
        self._limit = waiting_limit
        self._stamp = datetime.min.replace(tzinfo=UTC)
        self._writing = Lock()
        self._queue = Lock()
        self._waiting: list[_Waiting] = []
        self._inserting = Lock()

    def prepare(self) -> None:
        """Go on after what is stored already."""
        self._stamp = self._store.newest() or self._stamp

    def write(self, scope: Scope, spans: Sequence[Span]) -> int:
        """Store the spans that are not stored yet; returns how many were, when all are on disk.

        Raises:
            Unavailable: too many wait already, or the columns take none now; the caller repeats later.
        """
        mine = _Waiting(scope, spans)
        with self._queue:
            if sum(len(other.spans) for other in self._waiting) + len(spans) > self._limit:
                raise Unavailable(f"More than {self._limit} spans wait to be stored. Send these again in a moment.")
            self._waiting.append(mine)
        with self._writing:
            if not mine.is_done:
                self._write_all(self._take(mine))
        if mine.error is not None:
            raise mine.error
        return mine.duplicates

    def _take(self, mine: _Waiting) -> list[_Waiting]:
        """The spans of this caller and of others that wait, up to a batch."""
        with self._queue:
            batch, size = [mine], len(mine.spans)
            for other in self._waiting:
                if other is not mine and size + len(other.spans) <= _BATCH:
                    batch.append(other)
                    size += len(other.spans)
            self._waiting = [other for other in self._waiting if other not in batch]
        return batch

    def _write_all(self, batch: Sequence[_Waiting]) -> None:
        try:
            new: list[tuple[Scope, Span]] = []
            for scope in {waiting.scope for waiting in batch}:
                ours = [waiting for waiting in batch if waiting.scope == scope]
                new += [(scope, span) for span in self._unknown(scope, ours)]
            if new:
                self.add(new)
        except Exception as error:  # whatever it is, each caller whose spans were in the batch has to hear of it
            for waiting in batch:
                waiting.error = error
            raise
        finally:
            for waiting in batch:
                waiting.is_done = True

    def _unknown(self, scope: Scope, batch: Sequence[_Waiting]) -> list[Span]:
        """The spans that are neither stored nor earlier in the batch; counts the others."""
        known = self._store.stored(scope, [span for waiting in batch for span in waiting.spans])
        fresh: list[Span] = []
        for waiting in batch:
            for span in waiting.spans:
                key = (span.trace_id, span.span_id)
                if key in known:
                    waiting.duplicates += 1
                else:
                    known.add(key)
                    fresh.append(span)
        return fresh

    def add(self, spans: Sequence[tuple[Scope, Span]], *, token: str | None = None) -> None:
        """Store spans that are known to be new."""
        with self._inserting:
            self._stamp = max(self._clock.now(), self._stamp + timedelta(microseconds=1))
            self._store.add_spans(spans, self._stamp, token=token)

    def missing(self, spans: Sequence[tuple[Scope, Span]]) -> list[tuple[Scope, Span]]:
        """Those of `spans` that are not stored."""
        left: list[tuple[Scope, Span]] = []
        for scope in {scope for scope, _ in spans}:
            ours = without_repeats(span for owner, span in spans if owner == scope)
            known = self._store.stored(scope, ours)
            left += [(scope, span) for span in ours if (span.trace_id, span.span_id) not in known]
        return left
