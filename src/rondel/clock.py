"""The one place that reads the time. Everything else is handed a `Clock`."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations and deadlines."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        ...

    def now_ns(self) -> int:
        """The time of day as nanoseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class SystemClock:
    """The machine's clock.

    What is asked many times a request is the system's function itself, without a call of ours around it.
    """

    now_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Block this thread for `seconds`."""
        time.sleep(seconds)


class FixedClock:
    """A clock that stands until told to go on; the fake for tests."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._passed = 0.0

    def now(self) -> datetime:
        """The moment it was set to."""
        return self._now

    def now_ns(self) -> int:
        """The same as a number."""
        return to_ns(self._now)

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._passed

    def sleep(self, seconds: float) -> None:
        """Advance at once instead of waiting."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move both times on."""
        self._now += timedelta(seconds=seconds)
        self._passed += seconds


def to_ns(moment: datetime) -> int:
    """Nanoseconds since the epoch, exact to the microsecond that `moment` holds."""
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000


def from_ns(nanoseconds: int) -> datetime:
    """The aware UTC moment of `nanoseconds` since the epoch, cut to microseconds."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
