"""The spool: a record is written before the last byte of its answer is handed to the socket.

All records that end in one turn of the loop are one `write(2)`; a thread calls fsync at most 100 ms later. When the
disk is full the records are lost and counted, and answers go on.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from rondel.ids import Ids
from rondel.telemetry.records import MAGIC, GatewayRecord, encode, frame

log = structlog.get_logger()

SEGMENT_LIMIT = 16 * 1024 * 1024
FSYNC_S = 0.1


class Spool:
    """One worker's segments, `gateway-<worker>-<ulid>.seg`.

    The segment being written is locked (flock): a reader that gets the lock knows that its writer is gone.
    """

    def __init__(self, folder: Path, worker: int, ids: Ids, loop: asyncio.AbstractEventLoop) -> None:
        self._folder, self._worker, self._ids, self._loop = folder, worker, ids, loop
        self._records: list[GatewayRecord] = []
        self._then: list[Callable[[], None]] = []
        self._file = -1
        self._size = 0
        self._is_dirty = False
        self._syncing: asyncio.Future[None] | None = None
        self._full: list[int] = []
        self.written = self.lost = 0

    def add(self, record: GatewayRecord, then: Callable[[], None]) -> None:
        """Write `record` at the end of this turn of the loop, and then call `then`."""
        if not self._records:
            self._loop.call_soon(self.flush)
        self._records.append(record)
        self._then.append(then)

    def flush(self) -> None:
        """Write what is waiting."""
        records, then = self._records, self._then
        if not records:
            return
        self._records, self._then = [], []
        if self._write(b"".join([frame(encode(record)) for record in records])):
            self.written += len(records)
        else:
            self.lost += len(records)
        for call in then:
            try:
                call()
            except Exception:
                log.exception("an answer was not handed over")

    def close(self) -> None:
        """Write and sync the rest."""
        self.flush()
        for file in [*self._full, self._file]:
            if file >= 0:
                os.fsync(file)
                os.close(file)
        self._full, self._file = [], -1

    def _write(self, data: bytes) -> bool:
        """Append all of `data` or nothing of it."""
        try:
            if self._file < 0 or self._size >= SEGMENT_LIMIT:
                self._open()
            written = os.write(self._file, data)
        except OSError:
            return False
        if written < len(data):
            self._cut()
            return False
        self._size += written
        if not self._is_dirty:
            self._is_dirty = True
            self._loop.call_later(FSYNC_S / 2, self._sync)
        return True

    def _cut(self) -> None:
        """Take a half-written frame away, or begin another segment where that fails."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._full.append(self._file)
            self._file = -1

    def _open(self) -> None:
        path = self._folder / f"gateway-{self._worker}-{self._ids.new('seg').removeprefix('seg_')}.seg"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(file, MAGIC) < len(MAGIC):
                raise OSError(f"No room for segment {path.name!r}.")
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            self._full.append(self._file)
        self._file, self._size = file, len(MAGIC)

    def _sync(self) -> None:
        if self._syncing is not None and not self._syncing.done():
            self._loop.call_later(FSYNC_S / 2, self._sync)
            return
        self._is_dirty = False
        full, self._full = self._full, []
        self._syncing = self._loop.run_in_executor(None, _sync_files, self._file, full)


def _sync_files(current: int, full: list[int]) -> None:
    """Sync the segment being written, then sync and close those that are full."""
    for file in full:
        _fsync(file)
        os.close(file)
    if current >= 0:
        _fsync(current)


def _fsync(file: int) -> None:
    try:
        os.fsync(file)
    except OSError:
        return  # a full disk: the next write says so and is counted
