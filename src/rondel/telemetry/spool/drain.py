"""Records from the spool to the columns, each exactly once, whenever the process is killed.

Before an insert the position it will reach is written to the rows, after it the position reached. A position that was
intended and not reached is the one doubtful case: then what is stored already is looked up, and only the rest inserted.
An insert that failed in this process is repeated with the same token, since a database elsewhere may still complete it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock

import msgspec
import structlog

from rondel.clock import Clock
from rondel.spend.ports import PriceBook, PriceBooks
from rondel.storage.models import Scope
from rondel.storage.ports import Rows, Tx
from rondel.telemetry.intake import Intake
from rondel.telemetry.models import Span
from rondel.telemetry.positions import Positions, SpoolPosition
from rondel.telemetry.records import Frame, GatewayRecord, decode
from rondel.telemetry.spool import segments
from rondel.telemetry.spool.mapping import spans_of

BATCH = 1000
"""Records stored at once."""
STILL_S = 10.0
"""Seconds since the last write after which a drained segment without a writer is deleted."""

Charging = Callable[[Tx, Sequence[GatewayRecord]], None]
"""Told of the records that are stored, in the transaction that says so: each of them once."""

_log = structlog.get_logger(__name__)


class Drain:
    """Moves what stands in the spool into the columns. One of it per data folder; its calls take turns."""

    def __init__(
        self,
        folder: Path,
        *,
        rows: Rows,
        positions: Positions,
        intake: Intake,
        prices: PriceBooks,
        clock: Clock,
        batch: int = BATCH,
        charge: Charging | None = None,
    ) -> None:
        self._folder = folder
        self._rows = rows
        self._positions = positions
        self._intake = intake
        self._prices = prices
        self._clock = clock
        self._batch = batch
        self._charge = charge
        self._turn = RLock()
        self._known: dict[str, SpoolPosition] | None = None
        self._tried: set[str] = set()

    def run(self) -> int:
        """Store everything that stands whole in the spool now; returns how many records."""
        with self._turn:
            if self._known is None:
                with self._rows.reading() as tx:
                    self._known = self._positions.spool(tx)
            return sum(self._drain(segment, self._known) for segment in segments.segments(self._folder))

    def _drain(self, segment: Path, known: dict[str, SpoolPosition]) -> int:
        moved = 0
        while True:
            stored, intended = known.get(segment.name, SpoolPosition(0, 0))
            is_doubtful = intended > stored
            found = segments.read(segment, stored, self._batch)
            frames = [frame for frame in found.frames if not is_doubtful or frame.end <= intended]
            if frames:
                self._store(segment, SpoolPosition(stored, intended), frames, known)
                moved += len(frames)
            elif is_doubtful:  # the doubtful bytes are gone: a power cut took them before they were synced
                self._move(segment, SpoolPosition(stored, stored), known)
            else:
                self._finish(segment, found.end, known, is_damaged=found.is_damaged)
                return moved

    def _store(
        self, segment: Path, position: SpoolPosition, frames: Sequence[Frame], known: dict[str, SpoolPosition]
    ) -> None:
        end = frames[-1].end
        token = f"{segment.name}:{position.stored}-{end}"
        books: dict[Scope, PriceBook] = {}
        records = [record for frame in frames if (record := self._record(segment, frame)) is not None]
        spans = [pair for record in records for pair in self._spans(segment, record, books)]
        if position.intended > position.stored:
            missing = self._intake.missing(spans)
            is_untouched = len(missing) == len(spans)
            self._intake.add(missing, token=token if is_untouched and token in self._tried else None)
        else:
            self._move(segment, SpoolPosition(position.stored, end), known)
            self._tried.add(token)
            self._intake.add(spans, token=token)
        self._tried.discard(token)
        self._move(segment, SpoolPosition(end, max(end, position.intended)), known, records)

    def _record(self, segment: Path, frame: Frame) -> GatewayRecord | None:
        """The record of a frame; one that cannot be read is left out with a line in the log, for it must not stop the
        rest.
        """
        try:
            return decode(frame.payload)
        except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
            _log.error("record skipped", segment=segment.name, end=frame.end, reason=f"{type(error).__name__}: {error}")
            return None

    def _spans(self, segment: Path, record: GatewayRecord, books: dict[Scope, PriceBook]) -> list[tuple[Scope, Span]]:
        """The spans of a record; none when it says what cannot be."""
        try:
            scope = Scope(record.project_id, record.environment)
            if scope not in books:
                with self._rows.reading() as tx:
                    books[scope] = self._prices.of(tx, scope)
            return [(scope, span) for span in spans_of(record, books[scope])]
        except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}"
            _log.error("record skipped", segment=segment.name, request_id=record.request_id, reason=reason)
            return []

    def _move(
        self,
        segment: Path,
        position: SpoolPosition,
        known: dict[str, SpoolPosition],
        stored: Sequence[GatewayRecord] = (),
    ) -> None:
        """Write down a position; what was stored up to it is charged in the same transaction, and so just once."""
        with self._rows.transaction() as tx:
            if stored and self._charge is not None:
                self._charge(tx, stored)
            self._positions.move(tx, segment.name, position)
        known[segment.name] = position

    def _finish(self, segment: Path, end: int, known: dict[str, SpoolPosition], *, is_damaged: bool) -> None:
        """Delete a segment that nobody writes to any more; one with a damaged frame is kept aside for a person."""
        status = segment.stat()
        if self._clock.now().timestamp() - status.st_mtime < STILL_S or not segments.is_abandoned(segment):
            return
        if segments.read(segment, end, 1).frames:
            return  # its writer wrote once more before it let go
        if is_damaged:
            _log.error("segment damaged", segment=segment.name, at=end, bytes_left=status.st_size - end)
            segment.rename(segment.with_suffix(".damaged"))
        else:
            segment.unlink()
        with self._rows.transaction() as tx:
            self._positions.forget(tx, segment.name)
        known.pop(segment.name, None)
