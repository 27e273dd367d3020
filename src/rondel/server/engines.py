"""The process that keeps local engines running: `python -m rondel.server.engines --data DIR`."""

import argparse
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import structlog

from rondel.errors import RondelError
from rondel.server.foundation import lay
from rondel.server.log import configure
from rondel.server.wiring import build
from rondel.serving.children import Processes
from rondel.serving.reconcile import Reconciler, run
from rondel.settings import load

log = structlog.get_logger()


def main(arguments: list[str]) -> int:
    """Reconcile deployments and processes until told to stop."""
    parser = argparse.ArgumentParser(prog="rondel.server.engines", description="The engines of one data folder.")
    parser.add_argument("--data", type=Path)
    settings = load({"data": parser.parse_args(arguments).data})
    configure(settings.log_level, "engines")
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        ground = lay(settings, owns_columns=False)
        services = build(ground)
        reconciler = Reconciler(ground.rows, services.deployments, Processes(), ground.clock, ground.folder.logs)
        run(reconciler, ended)
        ground.close()
    except RondelError as error:
        log.error("the engines cannot run", reason=error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
