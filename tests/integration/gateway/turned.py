"""A gateway worker whose wall clock is turned by the seconds in the file that `RONDEL_TEST_CLOCK` names."""

import os
import sys
from pathlib import Path

from rondel.clock import SystemClock
from rondel.gateway.dataplane.main import main


class TurnedClock(SystemClock):
    """The monotonic one goes on as it is."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now_ns(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  there it is the system's function
        return SystemClock.now_ns() + int(self._file.read_text()) * 1_000_000_000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], TurnedClock(Path(os.environ["RONDEL_TEST_CLOCK"]))))
