"""What the server counts; any gateway worker tells it in `/metrics`, beside its own.

Source of the names and bounds: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpserverrequestduration
"""

import threading
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Protocol

from fastapi import APIRouter, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rondel.clock import Clock
from rondel.gateway.board import PROCESS, Board
from rondel.gateway.exposition import CONTENT_TYPE, Family, Figures, Kind, Labels, Number, Spread

DURATION = "http_server_request_duration_seconds"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
FAMILIES = (
    Family(DURATION, Kind.HISTOGRAM, "Requests to API and console, by the pattern of their path.", _BOUNDS),
    Family("rondel_server_spool_bytes", Kind.GAUGE, "Records of the gateway that are not in the columns yet."),
    Family("rondel_server_snapshot_version", Kind.GAUGE, "The newest snapshot that workers may take."),
    *PROCESS,
)


class Keeper(Protocol):
    """Who has the newest snapshot."""

    @property
    def version(self) -> int:
        """Its version."""
        ...


class ServerMetrics:
    """The server's counters; safe in threads."""

    def __init__(self, board: Board, clock: Clock, keeper: Keeper, waiting: Callable[[], int]) -> None:
        self._board, self._clock, self._keeper, self._waiting = board, clock, keeper, waiting
        self._lock = threading.Lock()
        self._counts: dict[Labels, list[int]] = {}
        self._totals: dict[Labels, float] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is the pattern of its path, empty when nothing stands there."""
        labels = (
            ("http_request_method", method),
            ("http_route", route),
            ("http_response_status_code", str(status)),
        )
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * (len(_BOUNDS) + 1))
            counts[bisect_left(_BOUNDS, seconds)] += 1
            self._totals[labels] = self._totals.get(labels, 0.0) + seconds

    def figures(self) -> Figures:
        """All of it as it is now."""
        with self._lock:
            spreads = tuple(
                Spread(DURATION, tuple(counts), self._totals[labels], labels) for labels, counts in self._counts.items()
            )
        numbers = (
            Number("rondel_server_spool_bytes", self._waiting()),
            Number("rondel_server_snapshot_version", self._keeper.version),
            *self._board.own(),
        )
        return Figures(self._board.process, self._clock.now_ns(), FAMILIES, numbers, spreads)

    def leave(self) -> None:
        """Put them where the workers find them."""
        self._board.leave(self.figures())

    def told(self) -> bytes:
        """The figures of all processes, for Prometheus."""
        return self._board.told(self.figures())


def routes(metrics: ServerMetrics) -> APIRouter:
    """`/metrics` on the server's own socket; on the public port a gateway worker answers it."""
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    def told() -> Response:
        return Response(metrics.told(), media_type=CONTENT_TYPE.decode())

    return router


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class Measured:
    """ASGI middleware: how long each request takes. What waits on purpose, streams of events and our own processes'
    polls, is left out."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics, clock: Clock) -> None:
        self._app, self._metrics, self._clock = app, metrics, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and look at the clock before and after."""
        if scope["type"] != "http" or scope["path"].startswith("/internal/"):
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()
        status, is_stream = 500, False

        async def seen(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                is_stream = any(value.startswith(b"text/event-stream") for _, value in message.get("headers", ()))
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            if not is_stream:
                route: Any = scope.get("route")
                method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
                pattern = str(getattr(route, "path", ""))
                self._metrics.observe(method, pattern, status, self._clock.monotonic() - began)
