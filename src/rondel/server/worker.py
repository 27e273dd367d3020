"""The process that carries out jobs: `python -m rondel.server.worker --data DIR`."""

import argparse
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import structlog

from rondel.errors import RondelError
from rondel.jobs.steps import DbosSteps
from rondel.jobs.worker import Worker
from rondel.server.first import first_start, local_key
from rondel.server.foundation import Foundation, lay
from rondel.server.log import configure
from rondel.server.loopback import Gateway
from rondel.server.wiring import build, tasks
from rondel.settings import load

log = structlog.get_logger()


def work(ground: Foundation, ended: threading.Event) -> None:
    """Carry out jobs until told to stop; this does not return, the process ends with it."""
    chat = Gateway(ground.public_url, local_key(ground.folder), ground.clock)
    steps = DbosSteps(ground.settings.rows or f"sqlite:///{ground.folder.jobs}")
    known = tasks(ground, build(ground), chat)
    Worker(known, rows=ground.rows, steps=steps, ids=ground.ids, clock=ground.clock).run_process(ended)


def main(arguments: list[str]) -> int:
    """Run one job worker."""
    parser = argparse.ArgumentParser(prog="rondel.server.worker", description="A job worker of one data folder.")
    parser.add_argument("--data", type=Path)
    settings = load({"data": parser.parse_args(arguments).data})
    configure(settings.log_level, "worker")
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        ground = lay(settings, owns_columns=False)
        first_start(settings, ground.folder, ground.clock)
        work(ground, ended)
    except RondelError as error:
        log.error("the worker cannot run", reason=error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
