"""Answers in LMDB: one file in the data folder that all workers of the machine map into their memory.

Reading takes no lock and asks nobody, so it is done in the event loop; a reader or a writer that is killed leaves a
whole file. What is written is on disk before it is seen, but not the very last transaction: a power cut takes that back
and breaks nothing (`metasync=False`).

    answers: key -> answer          ages: route, number -> size, key, row          sizes: route -> bytes
    near:    group, number -> key, vector
"""

from collections.abc import Sequence
from pathlib import Path

import lmdb
import msgspec
import structlog

from rondel.gateway.caching import Kept
from rondel.gateway.dataplane.cache.ports import Filed, Row

log = structlog.get_logger()

MAP_BYTES = 8 * 1024**3
"""Of addresses, not of memory: the most that all routes can keep."""
PLACE, GROUP, NUMBER, KEY = 8, 16, 8, 32
_OVERHEAD = 256
"""Bytes that an answer takes beside itself, about."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Kept).decode


class DiskShelf:
    """One process's way to the file.

    Raises:
        lmdb.Error: the file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._env = lmdb.open(
            str(folder), map_size=MAP_BYTES, max_dbs=4, mode=0o600, metasync=False, readahead=False, max_readers=512
        )
        self._env.reader_check()  # a reader that was killed would hold on to what it saw
        self._answers = self._env.open_db(b"answers")
        self._ages = self._env.open_db(b"ages")
        self._sizes = self._env.open_db(b"sizes")
        self._near = self._env.open_db(b"near")

    def find(self, key: bytes) -> Kept | None:
        """As in `Shelf`."""
        try:
            with self._env.begin() as look:
                found = look.get(key, db=self._answers)
            return _unpack(found) if found is not None else None
        except (lmdb.Error, msgspec.DecodeError) as error:  # a request goes on without what cannot be read
            log.warning("a kept answer cannot be read", reason=str(error))
            return None

    def keep(self, filed: Sequence[Filed]) -> None:
        """As in `Shelf`; when there is no room for them they are not kept."""
        try:
            with self._env.begin(write=True) as change:
                for one in filed:
                    self._put(change, one)
        except lmdb.MapFullError:
            self._env.reader_check()
            log.warning("answers were not kept: the file is full", count=len(filed))

    def rows(self, group: bytes, after: bytes, most: int) -> list[Row]:
        """As in `Shelf`."""
        found: list[Row] = []
        with self._env.begin() as look:
            cursor = look.cursor(self._near)
            there = cursor.prev() if cursor.set_range(_next(group)) else cursor.last()
            while there and len(found) < most and cursor.key()[:GROUP] == group and cursor.key() > after:
                value = cursor.value()
                found.append(Row(cursor.key(), value[:KEY], value[KEY:]))
                there = cursor.prev()
        found.reverse()
        return found

    def close(self) -> None:
        """As in `Shelf`."""
        self._env.close()

    def _put(self, change: lmdb.Transaction, one: Filed) -> None:
        """Put one answer down, and take away what is too old or too much of its route."""
        body = _pack(one.kept)
        row = _number_after(change.cursor(self._near), one.group, one.kept.at_ns) if one.vector else b""
        size = len(body) + len(one.vector) + _OVERHEAD
        if size > one.max_bytes:
            return
        held = int.from_bytes(change.get(one.place, db=self._sizes) or b"") + size
        change.put(one.key, body, db=self._answers)
        if one.vector:
            change.put(row, one.key + one.vector, db=self._near)
        age = _number_after(change.cursor(self._ages), one.place, one.kept.at_ns)
        change.put(age, size.to_bytes(NUMBER) + one.key + row, db=self._ages)
        held = self._trim(change, one, held, one.kept.at_ns - int(one.ttl_s * 1e9))
        change.put(one.place, held.to_bytes(NUMBER), db=self._sizes)

    def _trim(self, change: lmdb.Transaction, one: Filed, held: int, before_ns: int) -> int:
        """Take the oldest away until the rest is young and small enough; the bytes that are held then."""
        cursor = change.cursor(self._ages)
        there = cursor.set_range(one.place)
        while there and cursor.key()[:PLACE] == one.place:
            at_ns = int.from_bytes(cursor.key()[PLACE:])
            if held <= one.max_bytes and at_ns >= before_ns:
                break
            value = cursor.value()
            size, key, row = int.from_bytes(value[:NUMBER]), value[NUMBER : NUMBER + KEY], value[NUMBER + KEY :]
            body = change.get(key, db=self._answers)
            if body is not None and _unpack(body).at_ns <= at_ns:  # else a newer one took its place
                change.delete(key, db=self._answers)
            if row:
                change.delete(row, db=self._near)
            held -= size
            there = cursor.delete() and cursor.set_range(one.place)
        return held


def _next(prefix: bytes) -> bytes:
    """What comes behind all that begins with `prefix`."""
    return (int.from_bytes(prefix) + 1).to_bytes(len(prefix) + 1)[1:]


def _number_after(cursor: lmdb.Cursor, prefix: bytes, at_ns: int) -> bytes:
    """A number for a new one: when it is kept, or the one behind the last where that is later."""
    there = cursor.prev() if cursor.set_range(_next(prefix)) else cursor.last()
    last = int.from_bytes(cursor.key()[len(prefix) :]) if there and cursor.key()[: len(prefix)] == prefix else 0
    return prefix + max(at_ns, last + 1).to_bytes(NUMBER)
