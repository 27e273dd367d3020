"""What a process of the stack begins with: its settings, its log, its signals, and what it says when it cannot run."""

import argparse
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import structlog

from rondel.errors import RondelError
from rondel.server.log import configure
from rondel.settings import Settings, load

log = structlog.get_logger()


def run(name: str, arguments: Sequence[str], work: Callable[[Settings], None]) -> int:
    """Do `work` for the data folder named by `--data DIR`; the exit code. `name` stands in every line of the log."""
    parser = argparse.ArgumentParser(description=f"The process {name!r} of one data folder.")
    parser.add_argument("--data", type=Path)
    settings = load({"data": parser.parse_args(arguments).data})
    configure(settings.log_level, name)
    try:
        work(settings)
    except RondelError as error:
        log.error("the process cannot run", reason=error.message)
        return 1
    return 0


def told_to_end() -> threading.Event:
    """Set when SIGTERM or SIGINT comes, from here on."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return ended
