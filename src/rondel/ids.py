"""Names of things: ULIDs that sort by time behind a shown prefix, and OpenTelemetry's hex ids."""

import os
from collections.abc import Callable
from typing import Final

from rondel.clock import Clock

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, https://github.com/ulid/spec
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(120, -1, -10)


SMALL: Final = 24
"""Bytes of chance that an id takes at most; what takes more is a secret, and asks the system for itself."""
_POOL: Final[list[bytes]] = []
os.register_at_fork(after_in_child=_POOL.clear)


def chance(size: int) -> bytes:
    """`size` random bytes; those for ids come from the system 256 at a time, as asking costs more than they do.

    Safe in threads: taking from the list is one step, and no piece is given twice.
    """
    if size > SMALL:
        return os.urandom(size)
    try:
        return _POOL.pop()[:size]
    except IndexError:
        fresh = os.urandom(256 * SMALL)
        _POOL.extend(fresh[at : at + SMALL] for at in range(SMALL, len(fresh), SMALL))
        return fresh[:size]


def ulid(milliseconds: int, entropy: bytes) -> str:
    """26 characters: 48 bits of time and 80 bits of chance (`entropy` holds 10 bytes)."""
    value = (milliseconds << 80) | int.from_bytes(entropy, "big")
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in _SHIFTS])


class Series:
    """Ids that are made many a millisecond: those of one millisecond share their chance and are counted on.

    Unique as `Ids` makes them unless one millisecond sees more than 2^20 of them. Not for several threads.
    """

    def __init__(self, prefix: str, entropy: Callable[[int], bytes] = chance) -> None:
        self._prefix, self._entropy = f"{prefix}_", entropy
        self._ms = self._count = 0
        self._begin = ""

    def new(self, now_ns: int) -> str:
        """The next one, at `now_ns` nanoseconds since the epoch."""
        ms = now_ns // 1_000_000
        if ms != self._ms:
            self._ms, self._count = ms, 0
            self._begin = self._prefix + ulid(ms, self._entropy(10))[:-4]
        count = self._count = self._count + 1
        return self._begin + _PAIRS[(count >> 10) & 1023] + _PAIRS[count & 1023]


class Ids:
    """Makes new ids; time and chance are injected, so that tests can fix them."""

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes] = chance) -> None:
        self._clock = clock
        self._entropy = entropy

    def new(self, prefix: str) -> str:
        """An id such as `rel_01JD...`: unique, and in the order of creation to the millisecond."""
        return f"{prefix}_{ulid(self._clock.now_ns() // 1_000_000, self._entropy(10))}"

    def trace_id(self) -> str:
        """16 random bytes in hex, as W3C Trace Context wants them."""
        return self._entropy(16).hex()

    def span_id(self) -> str:
        """8 random bytes in hex."""
        return self._entropy(8).hex()

    def secret(self, size: int = 24) -> str:
        """`size` random bytes in hex, for keys and tokens."""
        return self._entropy(size).hex()
