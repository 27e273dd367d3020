"""Answers in LMDB: one file in the data folder that all workers of the machine map into their memory.

Reading takes no lock and asks nobody, so it is done in the event loop; a reader or a writer that is killed leaves a
whole file. What is written is on disk before it is seen, but not the very last transaction: a power cut takes that back
and breaks nothing (`metasync=False`).

    answers: key -> answer, number  ages: route, number -> size, key, keeper, row   sizes: route -> bytes, answers
    near:    group, number -> key, vector                                           orders: name -> token

LMDB overwrites nothing: what is deleted stays in the file until its page is needed. So a purge writes all that stays
into a new file, and removes the old one: `N/data.mdb`, with N in `current`. A worker that still has the old one open
when it is removed changes over when it keeps or purges something, or is told to.
"""

import fcntl
import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import NamedTuple

import lmdb
import msgspec
import structlog

from rondel.gateway.caching import Kept, Order
from rondel.gateway.dataplane.cache.ports import NEVER, Filed, Row, Size

log = structlog.get_logger()

MAP_BYTES = 8 * 1024**3
"""Of addresses, not of memory: the most that all routes can keep."""
PLACE, GROUP, NUMBER, KEY, KEEPER = 16, 16, 8, 32, 8
_OVERHEAD = 256
"""Bytes that an answer takes beside itself, about."""
_AT_ONCE = 500
"""Answers that are copied in one transaction."""
_TURN_S = 0.05
"""How often a worker asks whether it is its turn to purge."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Kept).decode


class _Numbered(Kept, frozen=True, array_like=True, gc=False):
    """An answer as it is written, which reads as a `Kept` too: with the number of its row of `ages`. An older version's
    has none, and stands at the time it was kept.
    """

    number: int = 0

    @property
    def stands_at(self) -> int:
        return self.number or self.at_ns


_unpack_numbered = msgspec.msgpack.Decoder(_Numbered).decode


class _Age(NamedTuple):
    """The value of a row of `ages`."""

    size: int
    key: bytes
    keeper: bytes
    row: bytes

    @classmethod
    def read(cls, value: bytes) -> "_Age":
        keeper = NUMBER + KEY
        row = keeper + KEEPER
        return cls(int.from_bytes(value[:NUMBER]), value[NUMBER:keeper], value[keeper:row], value[row:])

    def written(self) -> bytes:
        return self.size.to_bytes(NUMBER) + self.key + self.keeper + self.row


class _File:
    """One file, open; it is closed when nobody has it in hand any more."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number, self.folder = number, folder / str(number)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.env = lmdb.open(
            str(self.folder), map_size=MAP_BYTES, max_dbs=5, mode=0o600, metasync=False, readahead=False,
            max_readers=512,
        )  # fmt: skip
        self.env.reader_check()  # a reader that was killed would hold on to what it saw
        self.answers = self.env.open_db(b"answers")
        self.ages = self.env.open_db(b"ages")
        self.sizes = self.env.open_db(b"sizes")
        self.near = self.env.open_db(b"near")
        self.orders = self.env.open_db(b"orders")

    def note(self, change: lmdb.Transaction, orders: Sequence[Order]) -> None:
        """Remember that these were carried out."""
        for order in orders:
            change.put(order.name, order.token.encode(), db=self.orders)

    def forget(self, change: lmdb.Transaction, orders: Sequence[Order]) -> None:
        """They were not carried out, or have to be once more."""
        for order in orders:
            change.delete(order.name, db=self.orders)

    def has(self, orders: Sequence[Order]) -> bool:
        """Whether there is anything that they take."""
        with self.env.begin() as look:
            cursor = look.cursor(self.ages)
            for order in orders:
                there = cursor.set_range(order.place)
                while there and cursor.key().startswith(order.place):
                    if order.takes(cursor.key()[:PLACE], _Age.read(cursor.value()).keeper):
                        return True
                    there = cursor.next()
        return False


class DiskShelf:
    """One process's way to the file.

    Raises:
        lmdb.Error, OSError: the file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("data.mdb", "lock.mdb"):
            (folder / name).unlink(missing_ok=True)  # of a version that had one file for ever
        self._folder = folder
        self._file = self._opened()

    def find(self, keys: Sequence[bytes]) -> list[Kept | None]:
        """As in `Shelf`."""
        file = self._file
        try:
            with file.env.begin(db=file.answers) as look:
                return [_unpack(found) if (found := look.get(key)) is not None else None for key in keys]
        except (lmdb.Error, msgspec.DecodeError) as error:  # a request goes on without what cannot be read
            log.warning("a kept answer cannot be read", reason=str(error))
            return [None] * len(keys)

    def keep(self, filed: Sequence[Filed]) -> None:
        """As in `Shelf`; when there is no room for them they are not kept."""
        self.change_over()
        file = self._file
        try:
            with file.env.begin(write=True) as change:
                for one in filed:
                    _put(file, change, one)
        except lmdb.MapFullError:
            file.env.reader_check()
            log.warning("answers were not kept: the file is full", count=len(filed))

    def rows(self, group: bytes, after: bytes, most: int) -> list[Row]:
        """As in `NearShelf`."""
        found: list[Row] = []
        file = self._file
        with file.env.begin() as look:
            cursor = look.cursor(file.near)
            there = cursor.prev() if cursor.set_range(_next(group)) else cursor.last()
            while there and len(found) < most and cursor.key()[:GROUP] == group and cursor.key() > after:
                value = cursor.value()
                found.append(Row(cursor.key(), value[:KEY], value[KEY:]))
                there = cursor.prev()
        found.reverse()
        return found

    def unknown(self, orders: Sequence[Order]) -> list[Order]:
        """As in `Shelf`."""
        file = self._file
        with file.env.begin(db=file.orders) as look:
            return [order for order in orders if look.get(order.name) != order.token.encode()]

    def purge(self, orders: Sequence[Order], stop: Event = NEVER) -> bool:
        """As in `Shelf`: no byte of it is in a file that has a name. Where the rest cannot be written anew, that goes
        too. Told to stop while another worker purges, it leaves its orders to that one.

        Raises:
            lmdb.Error, OSError: not even an empty file can be begun.
        """
        with self._alone(stop) as is_alone:
            if not is_alone:
                return False
            self.change_over()  # another worker may have been here before
            if not self._file.has(orders):
                with suppress(lmdb.MapFullError), self._file.env.begin(write=True) as change:
                    self._file.note(change, orders)
                    return True
            if self._begin_anew(orders, stop):
                return True
            with self._file.env.begin(write=True) as change:
                self._file.forget(change, orders)
            return False

    def change_over(self) -> None:
        """As in `NearShelf`."""
        if _current(self._folder) != self._file.number:
            self._file = self._opened()

    def sizes(self, places: Sequence[bytes]) -> list[Size]:
        """As in `Shelf`."""
        file = self._file
        with file.env.begin(db=file.sizes) as look:
            return [_size(look.get(place)) for place in places]

    def close(self) -> None:
        """As in `Shelf`."""
        self._file.env.close()

    def _opened(self) -> _File:
        """The file that is in force; it may become another one meanwhile."""
        while True:
            number = _current(self._folder)
            try:
                file = _File(self._folder, number)
            except (lmdb.Error, OSError):
                if _current(self._folder) == number:
                    raise
                continue  # it was removed under our hands
            if _current(self._folder) == number:
                return file
            shutil.rmtree(file.folder, ignore_errors=True)

    @contextmanager
    def _alone(self, stop: Event) -> Generator[bool]:
        """One worker purges at a time; the kernel ends it with the process. False: `stop` was set before its turn."""
        lock = os.open(self._folder / "purging", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not (is_alone := _locked(lock)) and not stop.wait(_TURN_S):
                pass
            yield is_alone
        finally:
            os.close(lock)

    def _begin_anew(self, orders: Sequence[Order], stop: Event) -> bool:
        old = self._file
        new = self._next_file(old.number + 1)
        try:
            count = _copy(old, new, orders, stop)
        except (lmdb.Error, OSError) as error:
            log.warning("all kept answers go, since some have to", reason=str(error))
            count, new = 0, self._next_file(new.number + 1)
        if count is None:
            new.env.close()
            shutil.rmtree(new.folder, ignore_errors=True)
            return False
        with new.env.begin(write=True) as change:
            new.note(change, orders)
        self._put_in_force(new)
        for folder in self._folder.iterdir():
            if folder.name.isdigit() and folder.name != str(new.number):
                shutil.rmtree(folder, ignore_errors=True)
        log.info("kept answers were purged", orders=len(orders), left=count)
        return True

    def _put_in_force(self, new: _File) -> None:
        draft = self._folder / "current.draft"
        with draft.open("w") as out:
            out.write(str(new.number))
            out.flush()
            os.fsync(out.fileno())  # or a power cut could leave a name without a number
        draft.replace(self._folder / "current")
        self._file = new

    def _next_file(self, number: int) -> _File:
        """An empty one; whatever was there is of a worker that was killed before it came into force."""
        shutil.rmtree(self._folder / str(number), ignore_errors=True)
        return _File(self._folder, number)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _current(folder: Path) -> int:
    try:
        return int((folder / "current").read_text())
    except (FileNotFoundError, ValueError):
        return 1


def _size(value: bytes | None) -> Size:
    return Size(int.from_bytes(value[NUMBER:]), int.from_bytes(value[:NUMBER])) if value else Size(0, 0)


def _copy(old: _File, new: _File, orders: Sequence[Order], stop: Event) -> int | None:
    """Write into `new` what stays of `old`; how many answers that is, or None where `stop` was set before the end."""
    sizes: dict[bytes, Size] = {}
    with old.env.begin() as look:
        cursor = look.cursor(old.ages)
        there = cursor.first()
        while there:
            if stop.is_set():
                return None
            with new.env.begin(write=True) as change:
                for _ in range(_AT_ONCE):
                    if not there:
                        break
                    place, age = cursor.key()[:PLACE], _Age.read(cursor.value())
                    if not any(order.takes(place, age.keeper) for order in orders):
                        _copy_one(look, old, change, new, (cursor.key(), age))
                        held = sizes.get(place, Size(0, 0))
                        sizes[place] = Size(held.answers + 1, held.bytes + age.size)
                    there = cursor.next()
        with new.env.begin(write=True) as change:
            for place, size in sizes.items():
                change.put(place, _sized(size), db=new.sizes)
            told = look.cursor(old.orders)
            there = told.first()
            while there:
                change.put(told.key(), told.value(), db=new.orders)
                there = told.next()
    return sum(size.answers for size in sizes.values())


def _copy_one(
    look: lmdb.Transaction, old: _File, change: lmdb.Transaction, new: _File, aged: tuple[bytes, _Age]
) -> None:
    key, age = aged
    change.put(key, age.written(), db=new.ages)
    if (body := look.get(age.key, db=old.answers)) is not None:
        change.put(age.key, body, db=new.answers)
    if age.row and (row := look.get(age.row, db=old.near)) is not None:
        change.put(age.row, row, db=new.near)


def _put(file: _File, change: lmdb.Transaction, one: Filed) -> None:
    """Put one answer down, and take away what is too old or too much of its route."""
    at_ns = one.kept.at_ns
    row = _number_after(change.cursor(file.near), one.group, at_ns) if one.vector else b""
    age = _number_after(change.cursor(file.ages), one.place, at_ns)
    body = _pack(_Numbered(*msgspec.structs.astuple(one.kept), number=int.from_bytes(age[PLACE:])))
    size = len(body) + len(one.vector) + _OVERHEAD
    if size > one.max_bytes:
        return
    held = _size(change.get(one.place, db=file.sizes))
    if (older := change.get(one.key, db=file.answers)) is not None:
        held = _replace(file, change, one, _unpack_numbered(older).stands_at, held)
    change.put(one.key, body, db=file.answers)
    if one.vector:
        change.put(row, one.key + one.vector, db=file.near)
    change.put(age, _Age(size, one.key, one.keeper, row).written(), db=file.ages)
    held = _trim(file, change, one, Size(held.answers + 1, held.bytes + size))
    change.put(one.place, _sized(held), db=file.sizes)


def _replace(file: _File, change: lmdb.Transaction, one: Filed, number: int, held: Size) -> Size:
    """Take the row away of what was kept before under the same key; what is held then."""
    name = one.place + number.to_bytes(NUMBER)
    found = change.get(name, db=file.ages)
    age = _Age.read(found) if found is not None else None
    if age is None or age.key != one.key:
        return held
    change.delete(name, db=file.ages)
    if age.row:
        change.delete(age.row, db=file.near)
    return Size(held.answers - 1, held.bytes - age.size)


def _trim(file: _File, change: lmdb.Transaction, one: Filed, held: Size) -> Size:
    """Take the oldest away until the rest is young and small enough; what is held then."""
    before_ns = one.kept.at_ns - int(one.ttl_s * 1e9)
    cursor = change.cursor(file.ages)
    there = cursor.set_range(one.place)
    while there and cursor.key()[:PLACE] == one.place:
        number = int.from_bytes(cursor.key()[PLACE:])
        if held.bytes <= one.max_bytes and number >= before_ns:
            break
        age = _Age.read(cursor.value())
        body = change.get(age.key, db=file.answers)
        if body is not None and _unpack_numbered(body).stands_at <= number:  # else a newer one took its place
            change.delete(age.key, db=file.answers)
        if age.row:
            change.delete(age.row, db=file.near)
        held = Size(held.answers - 1, held.bytes - age.size)
        there = cursor.delete() and cursor.set_range(one.place)
    return held


def _sized(size: Size) -> bytes:
    return size.bytes.to_bytes(NUMBER) + size.answers.to_bytes(NUMBER)


def _next(prefix: bytes) -> bytes:
    """What comes behind all that begins with `prefix`."""
    return (int.from_bytes(prefix) + 1).to_bytes(len(prefix) + 1)[1:]


def _number_after(cursor: lmdb.Cursor, prefix: bytes, at_ns: int) -> bytes:
    """A number for a new one: when it is kept, or the one behind the last where that is later."""
    there = cursor.prev() if cursor.set_range(_next(prefix)) else cursor.last()
    last = int.from_bytes(cursor.key()[len(prefix) :]) if there and cursor.key()[: len(prefix)] == prefix else 0
    return prefix + max(at_ns, last + 1).to_bytes(NUMBER)
