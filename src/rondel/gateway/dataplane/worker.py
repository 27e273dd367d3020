"""One worker: what its connections and exchanges share."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from rondel.clock import Clock
from rondel.errors import NotFound, RondelError, Unavailable
from rondel.gateway.dataplane.asking import Admitted, Asked, Moment, admit, bearer, named_headers, receive
from rondel.gateway.dataplane.breaking import RetryBudget
from rondel.gateway.dataplane.caller import Caller, Handler, Request
from rondel.gateway.dataplane.exchange import Exchange, Nobody
from rondel.gateway.dataplane.forward import Forward, is_internal
from rondel.gateway.dataplane.limits import Limited, Reservation
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.dataplane.recording import Result, record_of_refusal
from rondel.gateway.dataplane.secrets import Known
from rondel.gateway.dataplane.spending import Spending
from rondel.gateway.dataplane.spool import Spool
from rondel.gateway.dataplane.wire import Answer, error_answer
from rondel.gateway.models import Operation, ReleaseCall, Snapshot
from rondel.gateway.rules import Estimate
from rondel.ids import Ids
from rondel.telemetry.records import ArmStage

SWEEP_S = 0.25
SHADOW_LIMIT = 64
"""Shadows under way in one worker; beyond that a request gets none."""

_LOCAL = frozenset({b"/livez", b"/readyz", b"/metrics"})
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_encode = msgspec.json.Encoder().encode


class Worker:
    """The state of one process on the public port."""

    def __init__(
        self,
        *,
        number: int,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        ids: Ids,
        spool: Spool,
        spending: Spending,
        server_socket: Path,
        body_limit: int,
    ) -> None:
        self.number, self.loop, self.ids, self.spool = number, loop, ids, spool
        self._spending, self._spent = spending, spending.load()
        self.now: Callable[[], float] = clock.monotonic
        self.server_socket, self.body_limit = server_socket, body_limit
        self._clock = clock
        self.plan: Plan | None = None
        self.callers: set[Caller] = set()
        self.exchanges: set[Exchange] = set()
        self.retries = RetryBudget()
        self.is_draining = False
        self.is_empty = asyncio.Event()
        self._requests = self._refused = self._shadows = self._shadows_shed = 0
        self._sweeping: asyncio.TimerHandle | None = None

    # Time and chance

    def moment(self) -> Moment:
        """Now, on both clocks."""
        return Moment(self._clock.now_ns(), self.now())

    def draw(self) -> float:
        """Uniform in [0, 1)."""
        return int.from_bytes(os.urandom(4), "big") / 2**32

    def sweep(self) -> None:
        """Look at every deadline, a few times a second: so a request costs no timer."""
        now = self.now()
        for exchange in list(self.exchanges):
            exchange.check(now)
        for caller in list(self.callers):
            caller.check(now)
        if self.plan is not None:
            for endpoint in self.plan.endpoints().values():
                endpoint.trim()
            self._spending.keep(self.plan.meters, now)
        self._sweeping = self.loop.call_later(SWEEP_S, self.sweep)

    def drain(self) -> None:
        """Let connections end with the request that is under way; `is_empty` tells when the last one has."""
        self.is_draining = True
        self.left(None)

    def left(self, caller: Caller | None) -> None:
        """A connection is gone."""
        if caller is not None:
            self.callers.discard(caller)
        if self.is_draining and not self.callers:
            self.is_empty.set()

    def stop(self) -> None:
        """Sweep no more and write what is left."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        self.spool.close()
        if self.plan is not None:
            self._spending.close(self.plan.meters)

    def apply(self, snapshot: Snapshot, secrets: Mapping[str, Known]) -> list[str]:
        """Go on with another snapshot: requests under way end with the old one. Returns what does not work in it."""
        self.plan = Plan(snapshot, secrets=secrets, clock=self.now, before=self.plan, spent=self._spent)
        return self.plan.problems

    # Requests

    def forward(self, caller: Caller, request: Request) -> Forward:
        """Hand a request to the server."""
        return Forward(self, caller, request)

    def is_local(self, request: Request) -> bool:
        """Whether the worker answers it by itself."""
        path = request.path
        return path in _LOCAL or path == b"/v1/models" or path.startswith(b"/v1/models/") or is_internal(path)

    def local_answer(self, request: Request) -> Answer | None:
        """The answer to a request that needs no model; None when it does."""
        if request.path == b"/livez":
            return Answer(200, b'{"status":"ok"}')
        if request.path == b"/readyz":
            is_ready = self.plan is not None and not self.is_draining
            return Answer(200, b'{"status":"ready"}') if is_ready else Answer(503, b'{"status":"not ready"}')
        if request.path == b"/metrics":
            return Answer(200, self._metrics(), _TEXT)
        if request.path.startswith(b"/v1/models"):
            try:
                return self._models(request)
            except RondelError as error:
                return error_answer(error)
        return None

    def ask(self, caller: Caller, request: Request, operation: Operation) -> Handler | None:
        """A request for a model: admit it and begin, or refuse it."""
        self._requests += 1
        self.retries.earn()
        headers = named_headers(request.headers)
        try:
            if self.plan is None:
                raise Unavailable("The gateway has no snapshot yet: the server has to be up once. Try again in 2 s.")
            asked = receive(self, self.plan, headers, operation, request.whole_body())
        except RondelError as error:
            self._refused += 1
            caller.answer(error_answer(error, retry_after_s=2.0 if isinstance(error, Unavailable) else None))
            return None
        try:
            admitted = admit(asked, headers, self.now())
        except RondelError as error:
            self._refuse(caller, asked, error)
            return None
        shadows = admitted.shadows if self._shadows < SHADOW_LIMIT else ()
        self._shadows_shed += len(admitted.shadows) - len(shadows)
        exchange = Exchange(self, admitted, caller, pair_id=asked.request_id if shadows else "")
        # Not at once: what came in one turn of the loop goes on together, with fewer writes and fewer looks for events.
        self.loop.call_soon(self._start, exchange, shadows)
        return exchange

    def headers(self, asked: Asked, release_id: str) -> bytes:
        """What every answer tells in its headers."""
        ids = f"x-request-id: {asked.request_id}\r\nx-rondel-trace-id: {asked.trace_id}\r\n"
        return f"{ids}x-rondel-release: {release_id}\r\n".encode()

    def _start(self, exchange: Exchange, shadows: tuple[ReleaseCall, ...]) -> None:
        exchange.start()
        for release in shadows:
            live = exchange.admitted
            admitted = Admitted(
                live.asked, live.route, release, ArmStage.SHADOW, (), live.meter, Reservation(Estimate(0, 0))
            )
            Exchange(self, admitted, Nobody(), pair_id=live.asked.request_id).start()

    def _refuse(self, caller: Caller, asked: Asked, error: RondelError) -> None:
        self._refused += 1
        code = "model_not_found" if isinstance(error, NotFound) else ""
        retry_after_s = error.wait_s if isinstance(error, Limited) else None
        answer = error_answer(error, code=code, retry_after_s=retry_after_s)
        answer = answer._replace(headers=self.headers(asked, "") + answer.headers)
        record = record_of_refusal(asked, Result(error.status, code or error.code, error.message), self)
        self.spool.add(record, lambda: caller.answer(answer))

    def _models(self, request: Request) -> Answer:
        if self.plan is None:
            raise Unavailable("The gateway has no snapshot yet: the server has to be up once.")
        key = self.plan.key(bearer(named_headers(request.headers)), self._clock.now_ns())
        names = self.plan.route_names(key)
        models = {name: {"id": name, "object": "model", "created": 0, "owned_by": "rondel"} for name in names}
        wanted = request.path.removeprefix(b"/v1/models").removeprefix(b"/").decode("latin-1")
        if not wanted:
            return Answer(200, _encode({"object": "list", "data": list(models.values())}))
        self.plan.find(key, wanted)
        return Answer(
            200, _encode(models.get(wanted) or {"id": wanted, "object": "model", "created": 0, "owned_by": "rondel"})
        )

    def _metrics(self) -> bytes:
        """Prometheus' text format; the figures are of this worker alone."""
        figures = {
            "rondel_gateway_requests_total": self._requests,
            "rondel_gateway_refused_total": self._refused,
            "rondel_gateway_records_written_total": self.spool.written,
            "rondel_gateway_records_lost_total": self.spool.lost,
            "rondel_gateway_shadows_shed_total": self._shadows_shed,
            "rondel_gateway_requests_open": len(self.exchanges),
            "rondel_gateway_connections_open": len(self.callers),
            "rondel_gateway_snapshot_version": self.plan.version if self.plan else 0,
        }
        lines = [f'{name}{{worker="{self.number}"}} {value}\n' for name, value in figures.items()]
        return "".join(lines).encode()
