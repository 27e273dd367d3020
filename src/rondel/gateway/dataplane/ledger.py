"""What the workers of one machine have taken of each limit, in memory that they share.

Every account has one cell a worker: (epoch, granted, spent, untold). Only its worker writes it, always one number in
one store: so `kill -9` leaves nothing half done. `granted` is what the worker took of the limit and did not give back;
what it has spent and what it has reserved is never more. To take is to look at all cells and then raise one's own, in
one's turn: a lock that the kernel takes from whoever dies. A dead worker's reservations come back by setting `granted`
to `spent`, which whoever finds its sheet unlocked does. `untold` is 1 while those who share limits with this machine
may know other figures of the cell than these; of a dead worker, whoever finds it tells them.
"""

import hashlib
from array import array
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

from rondel.gateway.dataplane.leases import grant, pace, share

MAGIC = 0x524E444C4C494D33
HEAD, ENTRY, CELL = 8, 4, 4
"""Numbers in the head of the sheet of accounts, in an account's entry there, and in a worker's cell."""
COUNT, SLOTS, WANTED, GENERATION = 1, 2, 3, 4
HIGH, LOW, BEGAN, BASE = 0, 1, 2, 3
"""An entry: the hash of the account's name, an epoch, and what was spent in it beside what the cells say. A rate keeps
in `BEGAN` when its bucket will be full.
"""
EPOCH, GRANTED, SPENT, UNTOLD = 0, 1, 2, 3
MOST = 1 << 20
"""Accounts that a ledger has room for; then new end users share one."""
_FIRST = 1024


class Freed(NamedTuple):
    """What a dead worker had taken of an account and not spent is free again; `spent` is what it did spend."""

    slot: int
    at: int
    epoch: int
    spent: int


class Words(Protocol):
    """Numbers of 64 bits."""

    def __getitem__(self, at: int, /) -> int: ...

    def __setitem__(self, at: int, value: int, /) -> None: ...

    def __len__(self) -> int: ...


class Sheet(Protocol):
    """Numbers that several processes share."""

    def hold(self, size: int) -> Words:
        """At least `size` numbers, new ones 0. What was given out before stays good."""
        ...

    def size(self) -> int:
        """How many there are by now, whoever made them."""
        ...

    def try_lock(self) -> bool:
        """Lock it until it is closed or this process dies, unless somebody else has."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Place(Protocol):
    """Where the sheets of one machine's ledger are."""

    def sheet(self, name: str) -> Sheet:
        """By its name; made when it is not there."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Nobody else takes meanwhile."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Ledger:
    """One worker's hold on the ledger. `number` is the slot it takes if nobody has it."""

    def __init__(self, place: Place, number: int) -> None:
        self._place = place
        self._accounts = place.sheet("accounts")
        self._known: dict[bytes, int] = {}
        self._read = 0
        self._others: dict[int, tuple[Sheet, Words]] = {}
        with place.turn():
            self._words = self._accounts.hold(HEAD + ENTRY * _FIRST)
            self._words[0] = MAGIC
            self.slot = number
            while not (mine := self._worker(self.slot)).try_lock():
                mine.close()
                self.slot += 1
            self._mine = mine
            self.freed = list(_give_back(self.slot, mine.hold(max(mine.size(), CELL * _FIRST))))
            """What whoever had this slot before had reserved."""
            self._words[SLOTS] = max(self._words[SLOTS], self.slot + 1)

    def _worker(self, slot: int) -> Sheet:
        return self._place.sheet(f"worker-{slot}")

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another end user."""
        return self._words[COUNT] >= MOST

    def find(self, account: str) -> int:
        """The number of an account, by which all workers know it."""
        name = hashlib.blake2b(account.encode("utf-8", "surrogateescape"), digest_size=16).digest()
        found = self._known.get(name)
        if found is None:
            with self._place.turn():
                self._catch_up()
                found = self._known.get(name)
                if found is None:
                    found = self._append(name)
        return found

    def _catch_up(self) -> None:
        count = self._words[COUNT]
        self._words = words = self._accounts.hold(HEAD + ENTRY * _room(count))
        for at in range(self._read, count):
            place = HEAD + ENTRY * at
            self._known[array("q", (words[place + HIGH], words[place + LOW])).tobytes()] = at
        self._read = count

    def _append(self, name: bytes) -> int:
        at = self._read
        self._words = words = self._accounts.hold(HEAD + ENTRY * _room(at + 1))
        place = HEAD + ENTRY * at
        words[place + HIGH], words[place + LOW] = array("q", name)
        words[place + BEGAN] = words[place + BASE] = 0
        words[COUNT] = at + 1  # only now it is there
        self._known[name] = at
        self._read = at + 1
        return at

    def open(self, at: int, epoch: int) -> tuple[Words, int]:
        """This worker's cells, and where in them that of the account is, for this epoch; another epoch's is over."""
        mine, place = self._mine.hold(CELL * _room(at + 1)), CELL * at
        if mine[place + EPOCH] != epoch:
            mine[place + GRANTED] = 0
            mine[place + SPENT] = 0
            mine[place + UNTOLD] = 0
            mine[place + EPOCH] = epoch
        return mine, place

    def take(self, at: int, epoch: int, capacity: int, missing: int, debt: int, sharers: int) -> int | None:
        """Take at least `missing` of what is left of `capacity`; None when that much is not left.

        `debt` is what this worker has spent and reserved beyond what it took: that is taken in any case.
        """
        with self._place.turn():
            mine, place = self.open(at, epoch)
            if debt:
                mine[place + GRANTED] += debt
            taken = share(capacity - self._sum(at, epoch)[1], missing, capacity, sharers)
            if taken:
                mine[place + GRANTED] += taken
            return taken

    def used(self, at: int, epoch: int) -> tuple[int, int]:
        """What all workers have spent of an account, and what they have taken, spent or not."""
        with self._place.turn():
            return self._sum(at, epoch)

    def _sum(self, at: int, epoch: int) -> tuple[int, int]:
        words, place = self._words, HEAD + ENTRY * at
        spent = taken = words[place + BASE] if words[place + BEGAN] == epoch else 0
        place = CELL * at
        for cells in self._all(at):
            if cells[place + EPOCH] == epoch:
                spent += cells[place + SPENT]
                taken += max(cells[place + GRANTED], cells[place + SPENT])
        return spent, taken

    def _all(self, at: int) -> Iterator[Words]:
        """Every worker's cells, living or dead, that reach to account `at`."""
        needed = CELL * (at + 1)
        for slot in range(self._words[SLOTS]):
            if slot == self.slot:
                yield self._mine.hold(needed)
                continue
            sheet, words = self._others.get(slot) or (self._worker(slot), _NOTHING)
            if len(words) < needed and sheet.size() > len(words):
                words = sheet.hold(sheet.size())
            self._others[slot] = sheet, words
            if len(words) >= needed:
                yield words

    def heal(self, at: int, epoch: int, spent: int) -> None:
        """Somebody else's figure of what is spent: when it is more than is known here, what is missing is added."""
        with self._place.turn():
            words, place = self._words, HEAD + ENTRY * at
            missing = spent - self._sum(at, epoch)[0]
            if missing > 0:
                base = words[place + BASE] if words[place + BEGAN] == epoch else 0
                words[place + BASE] = base + missing
                words[place + BEGAN] = epoch

    def draw(self, at: int, per_minute: int, kept: int, missing: int, now_ns: int, sharers: int) -> tuple[int, float]:
        """Give back `kept` of a rate (less than 0: it was overdrawn), and take at least `missing`.

        Returns what was taken, and how many seconds to wait when it is nothing.
        """
        with self._place.turn():
            words, place = self._words, HEAD + ENTRY * at + BEGAN
            found = grant(words[place] - pace(kept, per_minute), now_ns, missing, per_minute, sharers)
            words[place] = found.until_ns
            return found.amount, found.wait_s

    def want(self) -> None:
        """Ask the other workers to give back what they do not use."""
        self._words[WANTED] += 1  # two who do it at once may count as one

    def wanted(self) -> int:
        """Another number than before when somebody has asked since."""
        return self._words[WANTED]

    def bury(self) -> list[Freed]:
        """Give back what dead workers had reserved. What is `untold` is found again until it was told."""
        freed: list[Freed] = []
        for slot in range(self._words[SLOTS]):
            if slot == self.slot:
                continue
            other = self._worker(slot)
            if other.try_lock():
                freed += _give_back(slot, other.hold(other.size()))
            other.close()
        return freed

    def told(self, one: Freed) -> None:
        """All who share the account know what the dead worker spent, unless its slot has a new one, who sees to it."""
        other = self._worker(one.slot)
        if one.slot != self.slot and other.try_lock():
            words, place = other.hold(other.size()), CELL * one.at
            if words[place + EPOCH] == one.epoch and words[place + SPENT] == one.spent:
                words[place + UNTOLD] = 0
        other.close()

    def name(self, at: int) -> str:
        """An account's name as its hash, which is the same on every machine."""
        words, place = self._words, HEAD + ENTRY * at
        return array("q", (words[place + HIGH], words[place + LOW])).tobytes().hex()

    @property
    def generation(self) -> int:
        """How often the ledger was tidied: figures of an earlier one are in the accounts' bases."""
        return self._words[GENERATION]

    def close(self) -> None:
        """Give back what this worker has reserved, and let go."""
        list(_give_back(self.slot, self._mine.hold(0)))
        for sheet in (self._mine, self._accounts, *(sheet for sheet, _ in self._others.values())):
            sheet.close()
        self._place.close()


_NOTHING: Words = array("q")


def _give_back(slot: int, words: Words) -> Iterator[Freed]:
    """A worker that is no more has reserved nothing; what it has spent stays."""
    for place in range(0, len(words) - CELL + 1, CELL):
        if words[place + GRANTED] != words[place + SPENT] or words[place + UNTOLD]:
            words[place + GRANTED] = words[place + SPENT]
            yield Freed(slot, place // CELL, words[place + EPOCH], words[place + SPENT])


def _room(count: int) -> int:
    return max(_FIRST, 1 << max(0, count - 1).bit_length())


class Memory:
    """One machine's sheets in this process: the fake for tests. Every `MemoryPlace` on it plays a process."""

    def __init__(self, size: int = 1 << 13) -> None:
        self.size = size
        self.sheets: dict[str, Words] = {}
        self.owners: dict[str, MemoryPlace] = {}


class MemoryPlace:
    """A process at `memory`."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def sheet(self, name: str) -> "MemorySheet":
        """By its name."""
        self.memory.sheets.setdefault(name, array("q", bytes(8 * self.memory.size)))
        return MemorySheet(self, name)

    @contextmanager
    def turn(self) -> Generator[None]:
        """There is one thread."""
        yield

    def close(self) -> None:
        """Die: nothing is locked by it any more."""
        self.memory.owners = {name: owner for name, owner in self.memory.owners.items() if owner is not self}


class MemorySheet:
    """A sheet that does not grow."""

    def __init__(self, place: MemoryPlace, name: str) -> None:
        self._place, self._name = place, name
        self._is_locked = False

    def hold(self, size: int) -> Words:
        """All there is."""
        words = self._place.memory.sheets[self._name]
        if size > len(words):
            raise MemoryError(f"The fake holds {len(words)} numbers, not {size}.")
        return words

    def size(self) -> int:
        """Fixed."""
        return len(self._place.memory.sheets[self._name])

    def try_lock(self) -> bool:
        """By this process, unless another has it."""
        self._is_locked = self._place.memory.owners.setdefault(self._name, self._place) is self._place
        return self._is_locked

    def close(self) -> None:
        """Unlock."""
        if self._is_locked:
            self._place.memory.owners.pop(self._name, None)
