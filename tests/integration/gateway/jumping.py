"""A gateway worker whose wall clock jumps at every look: an hour ahead, a day back, ten years ahead. The monotonic one
goes on."""

import sys
from datetime import datetime, timedelta
from itertools import cycle

from rondel.clock import SystemClock
from rondel.gateway.dataplane.main import main

JUMPS_S = (0, 3_600, -86_400, 315_360_000, -315_360_000, 1)


class JumpingClock(SystemClock):
    """Tells another time of day at every look."""

    def __init__(self) -> None:
        self._jumps = cycle(JUMPS_S)

    def now_ns(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  there it is the system's function
        return SystemClock.now_ns() + next(self._jumps) * 1_000_000_000

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=next(self._jumps))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], JumpingClock()))
