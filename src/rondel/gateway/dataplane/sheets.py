"""A ledger's sheets as files that all workers of a machine map into their memory."""

import fcntl
import mmap
import os
from array import array
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from rondel.gateway.dataplane.ledger import (
    BASE,
    BEGAN,
    CELL,
    COUNT,
    ENTRY,
    EPOCH,
    GENERATION,
    HEAD,
    HIGH,
    LOW,
    MAGIC,
    SPENT,
    Words,
)

log = structlog.get_logger()

MONTH = 31
_NUMBER = 8


class Mapped:
    """A file of numbers; what a process stores in it is there for the others at once, and after its death."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._words = memoryview(b"").cast("q")

    def hold(self, size: int) -> Words:
        """At least `size` of them; the file grows as needed."""
        if len(self._words) < size:
            there = self.size()
            if there < size:
                os.ftruncate(self._file, size * _NUMBER)
            made = mmap.mmap(self._file, max(there, size) * _NUMBER)
            self._words = memoryview(made).cast("q")
        return self._words

    def size(self) -> int:
        """How many stand in the file."""
        return os.fstat(self._file).st_size // _NUMBER

    def try_lock(self) -> bool:
        """By flock(2), which the kernel ends with the process."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        """Lock it together with others who do so."""
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def lock(self) -> None:
        """Wait until it is nobody else's."""
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Let the next one."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; what is mapped stays so."""
        os.close(self._file)


class DiskPlace:
    """A folder. Who opens it while nobody else has it open tidies it: what all workers spent becomes the base of each
    account, and what ended more than a month before `day` (in UTC, since 1970) is forgotten.
    """

    def __init__(self, folder: Path, day: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._living = Mapped(folder / "living")
        if self._living.try_lock():
            _tidy(folder, day)
        self._living.share()
        self._turns = Mapped(folder / "turns")
        accounts = Mapped(folder / "accounts")
        self._generation = accounts.hold(HEAD)[GENERATION]
        accounts.close()

    def sheet(self, name: str) -> Mapped:
        """The file of that name, and for workers of this generation."""
        file = name if name == "accounts" else f"{name}.{self._generation}"
        return Mapped(self._folder / file)

    @contextmanager
    def turn(self) -> Generator[None]:
        """A lock of microseconds: what it guards asks nobody and writes nothing to disk."""
        self._turns.lock()
        try:
            yield
        finally:
            self._turns.unlock()

    def close(self) -> None:
        """This worker ends."""
        self._turns.close()
        self._living.close()


def machine_of(folder: Path, fresh: str) -> str:
    """The name of this machine among those that share limits: `fresh` when it has none yet, and the same ever after."""
    path = folder / "machine"
    if not path.exists():
        draft = folder / f"machine-{fresh}"
        draft.write_text(fresh)
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text()


def _tidy(folder: Path, day: int) -> None:
    """Begin a new generation of files, in one rename: whoever is killed here leaves the old one or the new."""
    old = _read(folder / "accounts")
    generation = 1
    kept: list[int] = []
    if len(old) >= HEAD and old[0] == MAGIC:
        generation = old[GENERATION] + 1
        workers = [_read(file) for file in sorted(folder.glob(f"worker-*.{old[GENERATION]}"))]
        for at in range(min(old[COUNT], (len(old) - HEAD) // ENTRY)):
            place = HEAD + ENTRY * at
            cells = [words for words in workers if len(words) >= CELL * (at + 1)]
            found = [(old[place + BEGAN], old[place + BASE])]
            found += [(words[CELL * at + EPOCH], words[CELL * at + SPENT]) for words in cells]
            epoch = max(each for each, _ in found)
            spent = sum(spent for each, spent in found if each == epoch)
            if spent and (epoch == 0 or day - MONTH <= epoch <= day):
                kept += [old[place + HIGH], old[place + LOW], epoch, spent]
    elif old:
        log.warning("the ledger of limits cannot be read and begins anew", file=str(folder / "accounts"))
    draft = folder / "accounts.draft"
    words = array("q", [MAGIC, len(kept) // ENTRY, 0, 0, generation, 0, 0, 0, *kept])
    draft.write_bytes(words.tobytes())
    draft.chmod(0o600)
    draft.replace(folder / "accounts")
    for file in folder.glob("worker-*"):
        file.unlink()


def _read(path: Path) -> "array[int]":
    """What stands in a file, without a piece of a number at its end."""
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        body = b""
    return array("q", body[: len(body) // _NUMBER * _NUMBER])
