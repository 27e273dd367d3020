"""The server: API, console and telemetry's owner, on the data folder's Unix socket."""

import argparse
import sys
from pathlib import Path

import structlog
import uvicorn

from rondel.errors import RondelError
from rondel.gateway.keeping import SnapshotKeeper
from rondel.server.app import build as build_app
from rondel.server.first import first_start
from rondel.server.foundation import Foundation, lay
from rondel.server.log import configure
from rondel.server.wiring import build, listen, routers, tickers
from rondel.settings import load
from rondel.storage.folder import Folder

log = structlog.get_logger()


def serve(ground: Foundation) -> None:
    """Answer on the socket until told to stop; then store what is in the spool."""
    services = build(ground)
    services.traces.prepare()
    keeper = SnapshotKeeper(gateways=services.gateways, rows=ground.rows, clock=ground.clock)
    working = tickers(ground, services, keeper, listen(ground, services, keeper))
    app = build_app(routers(ground, services, keeper), version=ground.version, body_limit=ground.settings.body_limit)
    for ticker in working:
        ticker.start()
    socket = ground.folder.socket
    socket.unlink(missing_ok=True)
    try:
        uvicorn.run(
            app,
            uds=str(socket),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
    finally:
        for ticker in working:
            ticker.stop()
        services.traces.drain()
        ground.close()


def main(arguments: list[str]) -> int:
    """`python -m rondel.server.main --data DIR`."""
    parser = argparse.ArgumentParser(prog="rondel.server.main", description="The server of one data folder.")
    parser.add_argument("--data", type=Path)
    settings = load({"data": parser.parse_args(arguments).data})
    configure(settings.log_level, "server")
    folder = Folder(settings.data.absolute())
    try:
        with folder.own():
            ground = lay(settings, owns_columns=True)
            first_start(settings, folder, ground.clock)
            serve(ground)
    except RondelError as error:
        log.error("the server cannot run", reason=error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
