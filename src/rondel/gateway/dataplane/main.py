"""One gateway worker: `python -m rondel.gateway.dataplane.main --data DIR --worker N --host 127.0.0.1 --port 8400`.

Several workers listen on the same port (SO_REUSEPORT). SIGTERM drains: no new connection is taken, requests under way
end, then the process does.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import structlog
import uvloop

from rondel.clock import Clock, SystemClock
from rondel.errors import RondelError
from rondel.gateway.board import Board
from rondel.gateway.dataplane.cache.answers import Answers
from rondel.gateway.dataplane.cache.others import Others
from rondel.gateway.dataplane.cache.ports import NEARNESS, SHELVES, Nearness
from rondel.gateway.dataplane.cache.shelf import DiskShelf
from rondel.gateway.dataplane.caller import Caller
from rondel.gateway.dataplane.ledger import Ledger
from rondel.gateway.dataplane.meters import LIMITS, Keeping, Meters
from rondel.gateway.dataplane.reception import Reception
from rondel.gateway.dataplane.secrets import Secrets
from rondel.gateway.dataplane.sharing import LocalShares
from rondel.gateway.dataplane.sheets import DiskPlace, machine_of
from rondel.gateway.dataplane.snapshots import Snapshots
from rondel.gateway.dataplane.spool import Spool
from rondel.gateway.dataplane.worker import Worker
from rondel.gateway.models import OnLimitsDown
from rondel.gateway.rules import internal_key
from rondel.gateway.secrets.keys import Keys, key_file
from rondel.gateway.secrets.reading import Reading
from rondel.ids import Ids
from rondel.spend.budgets.rules import day_of
from rondel.storage.folder import Folder

DRAIN_S = 10.0
"""How long requests may still take after SIGTERM; less than a supervisor waits before it kills."""
LAST_S = 1.0
BACKLOG = 2048

log = structlog.get_logger()


def listen(host: str, port: int) -> socket.socket:
    """A socket that shares its port with the other workers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((host, port))
    made.listen(BACKLOG)
    made.setblocking(False)
    return made


def share(folder: Folder, number: int, clock: Clock, ids: Ids, loop: asyncio.AbstractEventLoop) -> Keeping:
    """What this worker holds of limits that all share: those of this machine, and over a DSN those of others too."""
    place = folder.run / "limits"
    ledger = Ledger(DiskPlace(place, day_of(clock.now_ns() / 1e9)), number)
    dsn = os.environ.get("RONDEL_LIMITS_DSN", "")
    if not dsn:
        return LocalShares(ledger)
    on_down = OnLimitsDown(os.environ.get("RONDEL_LIMITS_DOWN", OnLimitsDown.LOCAL.value))
    machine = machine_of(place, ids.new("mac"))
    return LIMITS.get("redis")(dsn, ledger, machine=machine, loop=loop, on_down=on_down)


def others_of(loop: asyncio.AbstractEventLoop) -> Callable[[], Others] | None:
    """How this worker comes to answers that machines share; None where they share none."""
    dsn = os.environ.get("RONDEL_CACHE_DSN", "")
    return (lambda: Others(SHELVES.get("redis")(dsn), loop)) if dsn else None


def nearness_of() -> Nearness:
    """Who knows texts by their meaning; loaded only when it is asked for."""
    return NEARNESS.get("embedded")()


def reading_of(folder: Folder, clock: Clock) -> Reading:
    """How this worker reads secrets."""
    named = key_file(os.environ.get("RONDEL_SECRETS_KEY_FILE", ""), os.environ)
    keys = Keys(os.environ.get("RONDEL_SECRETS_KEY", ""), named, folder.root)
    return Reading(environ=os.environ, folder=folder.root / "secrets", keys=keys.read, now_ns=clock.now_ns)


async def serve(
    *, clock: Clock, folder: Folder, secret: bytes, number: int, host: str, port: int, body_limit: int
) -> None:
    """Run one worker until it is told to stop."""
    loop = asyncio.get_running_loop()
    ids = Ids(clock)
    answers = Answers(
        open_shelf=lambda: DiskShelf(folder.run / "answers"),
        open_nearness=nearness_of,
        loop=loop,
        now_ns=clock.now_ns,
        open_others=others_of(loop),
    )
    worker = Worker(
        number=number,
        loop=loop,
        clock=clock,
        ids=ids,
        spool=Spool(folder.spool, number, ids, loop),
        meters=Meters(share(folder, number, clock, ids, loop), clock),
        server_socket=folder.socket,
        board=Board(folder.run, f"gateway-{number}", clock.now_ns),
        body_limit=body_limit,
        answers=answers,
    )
    secrets = Secrets(reading_of(folder, clock), clock)
    snapshots = Snapshots(
        path=folder.run / "snapshot.json",
        socket=folder.socket,
        key=internal_key(secret),
        worker=number,
        secrets=secrets,
        apply=worker.apply,
    )
    await snapshots.load()
    following = [loop.create_task(snapshots.follow()), loop.create_task(secrets.keep(snapshots.again))]
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    made = listen(host, port)
    reception = Reception(worker)
    server = await loop.create_server(lambda: cast("asyncio.Protocol", Caller(reception)), sock=made)
    worker.sweep()
    gc.freeze()  # what lives as long as the process is not looked at again
    gc.set_threshold(20_000, 20, 20)  # requests leave no cycles behind: look for some seldom
    log.info("gateway worker listens", worker=number, host=host, port=made.getsockname()[1], pid=os.getpid())
    await stopped.wait()
    await _drain(worker, server)
    for task in following:
        task.cancel()
    secrets.close()
    worker.stop()
    log.info("gateway worker stopped", worker=number)


async def _drain(worker: Worker, server: asyncio.Server) -> None:
    """Take nothing new, and let what is under way end."""
    server.close()
    worker.drain()
    with suppress(TimeoutError):
        await asyncio.wait_for(worker.is_empty.wait(), DRAIN_S)
    for exchange in list(worker.exchanges):
        exchange.stop()
    with suppress(TimeoutError):
        await asyncio.wait_for(worker.is_empty.wait(), LAST_S)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rondel.gateway.dataplane.main", description="One gateway worker.")
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--worker", type=int, default=0, help="this worker's number")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8400, help="the port to listen on; 0 takes a free one")
    parser.add_argument("--body-limit", type=int, default=32 * 1024 * 1024, help="bytes of the largest request body")
    return parser.parse_args(arguments)


def main(arguments: list[str], clock: Clock | None = None) -> int:
    """Run a worker, by the machine's clock unless another is given; the exit code."""
    options = parse(arguments)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    folder = Folder(options.data)
    try:
        folder.prepare()
        uvloop.run(
            serve(
                clock=clock or SystemClock(),
                folder=folder,
                secret=folder.secret(os.environ.get("RONDEL_SECRET", "")),
                number=options.worker,
                host=options.host,
                port=options.port,
                body_limit=options.body_limit,
            )
        )
    except (OSError, RondelError) as error:
        log.error("gateway worker cannot run", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
