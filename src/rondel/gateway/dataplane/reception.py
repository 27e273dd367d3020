"""Where requests are received: those for a model are admitted and begun, others answered here or sent on."""

import msgspec

from rondel.errors import NotFound, RondelError, Unavailable
from rondel.gateway.costing import estimate
from rondel.gateway.dataplane.asking import Asked, Entry, enter, read
from rondel.gateway.dataplane.beginning import exchange_of
from rondel.gateway.dataplane.exchange import Exchange, Nobody, answer_headers
from rondel.gateway.dataplane.forward import Forward, is_internal
from rondel.gateway.dataplane.limits import NO_TICKET, Limited, Starved
from rondel.gateway.dataplane.listing import NO_SNAPSHOT, is_listing, listed
from rondel.gateway.dataplane.passing.entering import pass_on
from rondel.gateway.dataplane.passing.naming import is_passed
from rondel.gateway.dataplane.ports import Handler, Relayed, Reply, Uploading
from rondel.gateway.dataplane.recording import Result, record_of_refusal
from rondel.gateway.dataplane.request import Request
from rondel.gateway.dataplane.sending import counts_tokens
from rondel.gateway.dataplane.waiting import LEASE_WAIT_S, Waiting
from rondel.gateway.dataplane.ways import Taken
from rondel.gateway.dataplane.wire import Answer, error_answer
from rondel.gateway.dataplane.worker import Worker
from rondel.gateway.exposition import CONTENT_TYPE
from rondel.gateway.models import Operation
from rondel.ids import chance

SHADOW_LIMIT = 64
"""Shadows under way in one worker; beyond that a request gets none."""

_LOCAL = frozenset({b"/livez", b"/readyz", b"/healthz", b"/metrics"})
_encode = msgspec.json.Encoder().encode


class Reception:
    """What one worker does with a request whose head and body are there."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._begun: list[tuple[Exchange, Taken]] = []

    # Requests for a model

    def ask(self, reply: Reply, request: Request, operation: Operation, first: bytes) -> Handler | None:
        """Admit a request and begin it, or refuse it; `first` are the bytes with which it began."""
        try:
            if (ways := self.worker.ways) is None:
                raise Unavailable(NO_SNAPSHOT)
            entry = enter(ways.plan, request, operation, self.worker.now_ns())
        except RondelError as error:
            self.worker.metrics.requests += 1
            self.worker.metrics.refused(error.code)
            reply.answer(error_answer(error, retry_after_s=2.0 if isinstance(error, Unavailable) else None))
            return None
        self.worker.heads.learn(first, request, operation, entry)
        return self.admit(reply, entry, operation, request.whole_body())

    def admit(self, reply: Reply, entry: Entry, operation: Operation, body: bytes) -> Handler | None:
        """Begin a request of somebody who is known, or refuse it."""
        self.worker.metrics.requests += 1
        worker = self.worker
        worker.retries.earn()
        now, now_ns = worker.now(), worker.now_ns()
        parent = entry.parent
        if parent is None:
            ids = chance(24).hex()
            asked = Asked(entry, operation, body, now_ns, now, worker.series.new(now_ns), ids[:32], ids[32:])
        else:
            request_id, span_id = worker.series.new(now_ns), chance(8).hex()
            asked = Asked(entry, operation, body, now_ns, now, request_id, parent.trace_id, span_id, parent.flags)
        try:
            return self._take(reply, asked)
        except Starved as error:
            waiting = Waiting(now + LEASE_WAIT_S)
            error.then(lambda: self._again(reply, asked, waiting))
            return waiting
        except RondelError as refusal:
            self._refuse(reply, asked, refusal)
            return None

    def _again(self, reply: Reply, asked: Asked, waiting: Waiting) -> None:
        """A lease has come, or should have: admit once more, until it has been too long."""
        if waiting.is_gone:
            return
        try:
            exchange = self._take(reply, asked)
            if exchange is not None:
                waiting.hand_over(exchange)
        except RondelError as error:
            if isinstance(error, Starved) and self.worker.now() < waiting.until:
                error.then(lambda: self._again(reply, asked, waiting))
            else:
                self._refuse(reply, asked, error)

    def _take(self, reply: Reply, asked: Asked) -> Exchange | None:
        """Take what a request may need of its limits, and let it go on; None when it is answered.

        Raises:
            Starved: its limits are being looked up.
            RondelError: it may not.
        """
        worker = self.worker
        if (ways := worker.ways) is None:
            raise Unavailable(NO_SNAPSHOT)
        way = read(asked, ways)
        taken = way.take(asked.unit.value, asked.request_id)
        head, price = asked.head, taken.lane.price
        guess = estimate(asked.load, head.max_tokens, price, choices=head.choices, service=head.service_tier)
        if asked.operation is Operation.COUNT_TOKENS:
            guess = estimate(asked.load, 0, None)
            if not counts_tokens(taken.lane):
                body = _encode({"input_tokens": guess.tokens})
                reply.answer(Answer(200, body, headers=answer_headers(asked, "")))
                return None
            taken = Taken(taken.lane, ())  # a shadow has nothing to say to it
        ticket = way.meter.admit(asked.user, guess.tokens, guess.nano * taken.lane.answers, worker.now())
        pair_id = asked.request_id if taken.shadows else ""
        exchange = exchange_of(taken.lane)(worker, asked, way, taken.lane, ticket, reply, pair_id)
        # Not at once: what came in one turn of the loop goes on together, with fewer writes and fewer looks for events.
        if not self._begun:
            worker.loop.call_soon(self._begin)
        self._begun.append((exchange, taken))
        return exchange

    def _begin(self) -> None:
        begun, self._begun = self._begun, []
        for exchange, taken in begun:
            exchange.start()
            if taken.shadows:
                self._copy(exchange, taken)

    def _copy(self, live: Exchange, taken: Taken) -> None:
        """Send the shadows their copies, as far as there is room."""
        room = SHADOW_LIMIT - sum(isinstance(one, Exchange) and one.is_shadow for one in self.worker.exchanges)
        for lane in taken.shadows[: max(room, 0)]:
            Exchange(self.worker, live.asked, live.way, lane, NO_TICKET, Nobody(), live.request_id).start()
        self.worker.metrics.shadows_shed += max(len(taken.shadows) - max(room, 0), 0)

    def _refuse(self, reply: Reply, asked: Asked, error: RondelError) -> None:
        code = "model_not_found" if isinstance(error, NotFound) else ""
        retry_after_s = error.wait_s if isinstance(error, Limited) else None
        answer = error_answer(error, code=code, retry_after_s=retry_after_s)
        answer = answer.under(answer_headers(asked, ""))
        record = record_of_refusal(asked, Result(error.status, code or error.code, error.message), self.worker)
        self.worker.metrics.tell(record)
        self.worker.spool.add(record, lambda: reply.answer(answer))

    # Other requests

    def forward(self, caller: Relayed, request: Request) -> Uploading:
        """Begin a request that is not read in depth: it goes on to a provider, an MCP server, or our own server."""
        if is_passed(request.path):
            return pass_on(self.worker, caller, request)
        return Forward(self.worker, caller, request)

    def is_local(self, path: bytes) -> bool:
        """Whether the worker answers it by itself."""
        return path in _LOCAL or is_listing(path) or is_internal(path)

    def local_answer(self, request: Request) -> Answer | None:
        """The answer to a request that needs no model; None when it does."""
        path = request.path
        if path == b"/livez":
            return Answer(200, b'{"status":"ok"}')
        if path == b"/readyz":
            is_ready = self.worker.plan is not None and not self.worker.is_draining
            return Answer(200, b'{"status":"ready"}') if is_ready else Answer(503, b'{"status":"not ready"}')
        if path == b"/healthz":
            return Answer(200, _encode(self.worker.health()))
        if path == b"/metrics":
            return Answer(200, self.worker.board.told(self.worker.figures()), CONTENT_TYPE)
        if is_listing(request.path):
            return listed(self.worker.plan, self.worker.now_ns(), request.method, request.target, request.headers)
        return None
