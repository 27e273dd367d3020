"""The server, `python -m rondel.server.main --data DIR`: API, console and telemetry's owner, on a Unix socket."""

import sys

import uvicorn

from rondel.gateway.board import EVERY_S, Board
from rondel.gateway.keeping import SnapshotKeeper
from rondel.server.app import build as build_app
from rondel.server.background import Ticker
from rondel.server.first import first_start
from rondel.server.foundation import Foundation, lay
from rondel.server.metrics import Measured, ServerMetrics
from rondel.server.metrics import routes as metric_routes
from rondel.server.starting import run
from rondel.server.wiring import build, listen, routers, tickers
from rondel.settings import Settings
from rondel.storage.folder import Folder


def serve(ground: Foundation) -> None:
    """Answer on the socket until told to stop; then store what is in the spool."""
    services = build(ground)
    services.traces.prepare()
    keeper = SnapshotKeeper(gateways=services.gateways, rows=ground.rows, clock=ground.clock)
    metrics = _metrics(ground, keeper)
    working = tickers(ground, services, keeper, listen(ground, services, keeper))
    working.append(Ticker("figures", metrics.leave, every_s=EVERY_S))
    answering = [*routers(ground, services, keeper), metric_routes(metrics)]
    app = build_app(answering, version=ground.version, body_limit=ground.settings.body_limit)
    app.add_middleware(Measured, metrics=metrics, clock=ground.clock)
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


def _metrics(ground: Foundation, keeper: SnapshotKeeper) -> ServerMetrics:
    board = Board(ground.folder.run, "server", ground.clock.now_ns)
    return ServerMetrics(board, ground.clock, keeper, ground.folder.waiting_bytes)


def work(settings: Settings) -> None:
    """Become the one server of the data folder."""
    folder = Folder(settings.data.absolute())
    with folder.own():
        ground = lay(settings, owns_columns=True)
        first_start(settings, folder, ground.clock)
        serve(ground)


if __name__ == "__main__":
    sys.exit(run("server", sys.argv[1:], work))
