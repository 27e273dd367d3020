"""One request from its admission to its record: one state machine of callbacks, for the caller's request and for
shadows.

    start -> try -> head -> data ... -> end -> (record written) -> last byte to the caller
              ^ failed, before the first byte went to the caller: pause, next target
    hang_up, check (deadlines): at any time
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol

import structlog

from rondel.errors import Invalid, RondelError, TimedOut, Unavailable, UpstreamFailed
from rondel.gateway.dataplane.asking import Admitted
from rondel.gateway.dataplane.guarding import check_fields
from rondel.gateway.dataplane.intake import Gather, Intake, Outcome, Relay, read_body
from rondel.gateway.dataplane.plan import Guard
from rondel.gateway.dataplane.recording import Result, Tried, record_of
from rondel.gateway.dataplane.upstream import Dial, Endpoint, Line
from rondel.gateway.dataplane.wire import EVENT_STREAM, JSON, Answer, error_answer, error_data, error_type, retry_after
from rondel.gateway.dialects.events import event_of
from rondel.gateway.models import Fields, Operation, ReleaseCall, Target
from rondel.gateway.ports import Call, Capability
from rondel.gateway.rules import (
    LONGEST_REST_S,
    OUR_FAULT_STATUS,
    compose,
    is_retried,
    parse_retry_after,
    pause_s,
    raw,
    total_tokens,
)
from rondel.telemetry.records import ArmStage, GuardVerdict

if TYPE_CHECKING:
    from rondel.gateway.dataplane.worker import Worker

log = structlog.get_logger()

_ERROR_LIMIT = 65_536
_CALLER_GONE = 499  # nginx's status for a caller who hung up
_LONGEST_WAIT_S = 5.0  # what asks for a longer pause is told to the caller instead
_TIMER_S = 0.005  # timers may fire this much early


P = ParamSpec("P")


def recorded(step: "Callable[Concatenate[Exchange, P], None]") -> "Callable[Concatenate[Exchange, P], None]":
    """An edge: whatever a step raises is a bug; it is logged, and the caller gets a 500 instead of silence."""

    def guarded(exchange: "Exchange", /, *args: P.args, **named: P.kwargs) -> None:
        try:
            step(exchange, *args, **named)
        except Exception:
            log.exception("a request failed inside the gateway", request_id=exchange.request_id)
            exchange.crash()

    return guarded


class Reply(Protocol):
    """Where an answer goes."""

    def begin(self, status: int, content_type: bytes, headers: bytes) -> None:
        """Send the head of a streamed answer."""
        ...

    def send(self, data: bytes) -> None:
        """Send a piece of it."""
        ...

    def end(self, data: bytes) -> None:
        """Send the last piece, and be done."""
        ...

    def answer(self, answer: Answer) -> None:
        """Send a whole answer, and be done."""
        ...


class Nobody:
    """Where a shadow's answer goes."""

    def begin(self, status: int, content_type: bytes, headers: bytes) -> None:
        """Nothing."""

    def send(self, data: bytes) -> None:
        """Nothing."""

    def end(self, data: bytes) -> None:
        """Nothing."""

    def answer(self, answer: Answer) -> None:
        """Nothing."""


class Exchange:
    """One request with one release (and its fallbacks); the listener of each of its tries in turn."""

    def __init__(self, worker: "Worker", admitted: Admitted, reply: Reply, *, pair_id: str = "") -> None:
        self.admitted, self.asked = admitted, admitted.asked
        self._worker, self._reply = worker, reply
        self.pair_id = pair_id
        self.span_id = worker.ids.span_id() if pair_id and admitted.stage is ArmStage.SHADOW else self.asked.span_id
        self.request_id = worker.ids.new("req") if admitted.stage is ArmStage.SHADOW else self.asked.request_id
        self.is_stream = self.asked.head.is_stream and admitted.stage is not ArmStage.SHADOW
        self.verdicts: list[GuardVerdict] = []
        self.fields: Fields = self.asked.fields
        self.sent_body = b""
        self.tried: list[Tried] = []
        self._candidates = list(self._list_candidates())
        self._composed: dict[str, Fields] = {}
        self._guards: tuple[Guard, ...] = ()
        self._line: Line | Dial | None = None
        self._intake: Intake | None = None
        self._status = 0
        self._error_body = bytearray()
        self._call: Call | None = None
        self._refused: Outcome | None = None
        self._is_late = False
        self._retry_after: float | None = None
        self._is_begun = self._is_over = False
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_byte = self.asked.began.monotonic
        self.first_token: float | None = None

    # The tries

    @recorded
    def start(self) -> None:
        """Check the input, and ask the first target."""
        self._worker.exchanges.add(self)
        try:
            self._guards = self.asked.plan.guards(self.admitted.route, self.admitted.release)
            inward = [guard for guard in self._guards if guard.rule.on_input]
            if inward:
                checked = check_fields(inward, self.fields)
                self.fields = checked.value
                self.verdicts += checked.verdicts
                if checked.refusal:
                    raise Invalid(checked.refusal)
        except RondelError as error:
            self._refuse(error)
            return
        self._try()

    def _list_candidates(self) -> Iterator[tuple[ReleaseCall, Target]]:
        for target in self.admitted.release.targets:
            yield self.admitted.release, target
        if self.admitted.stage is not ArmStage.SHADOW:
            for release_id in self.admitted.route.fallbacks:
                if (release := self.asked.plan.release(release_id)) is not None:
                    for target in release.targets:
                        yield release, target

    @recorded
    def _try(self) -> None:
        """Ask the next target that does not rest."""
        self._timer = None
        now = self._worker.now()
        waits: list[float] = []
        number = len(self.tried)
        for step in range(len(self._candidates)):
            release, target = self._candidates[(number + step) % len(self._candidates)]
            endpoint = self.asked.plan.endpoint(target.connection_id)
            if endpoint is None:
                continue
            wait = endpoint.breaker(target.model).wait_s(now)
            if wait <= 0:
                self._ask(release, target, endpoint)
                return
            waits.append(wait)
        if self.tried:
            self._give_up()
        elif waits:
            seconds = max(1, round(min(waits)))
            problem = f"Every target of {self.asked.name!r} rests after failures. Try again in {seconds} s."
            self._refuse(Unavailable(problem), retry_after_s=min(waits))
        else:
            problems = [target.problem for _, target in self._candidates if target.problem] or self.asked.plan.problems
            why = " ".join(problems) or "it has none."
            problem = f"No target of {self.asked.name!r} can be called: {why}"
            self._refuse(Unavailable(problem))

    def _ask(self, release: ReleaseCall, target: Target, endpoint: Endpoint) -> None:
        try:
            self._call = call = self._make_call(release, target, endpoint)
            body = endpoint.provider.encode(call)
        except RondelError as error:
            self._refuse(error)
            return
        is_ours = call.fields.get("messages") is not self.asked.fields.get("messages")
        self.sent_body = body if is_ours or release.parameters or target.body else b""
        self._status, self._retry_after, self._is_late = 0, None, False
        self._error_body.clear()
        self._intake = None
        self._last_byte = now = self._worker.now()
        self.tried.append(Tried(release, target, endpoint, now))
        endpoint.breaker(target.model).begin()
        self._line = endpoint.send(self, endpoint.framed(call, body, self._traceparent()))
        if self._is_paused:
            self._line.pause()

    def _make_call(self, release: ReleaseCall, target: Target, endpoint: Endpoint) -> Call:
        """The request as this release sends it to this target."""
        asked = self.asked
        composed = self._composed.get(release.id)
        if composed is None:
            composed = compose(release, self.fields, asked.operation, asked.head.metadata)
            self._composed[release.id] = composed
        capabilities = endpoint.provider.capabilities
        is_streamed = asked.operation is not Operation.EMBEDDING and (
            self.is_stream or Capability.STREAM_UPSTREAM in capabilities
        )
        changes: Fields = dict(target.body)
        if is_streamed is not asked.head.is_stream:
            changes["stream"] = raw(is_streamed)
        if is_streamed and Capability.USAGE_ON_REQUEST in capabilities and not asked.head.wants_usage:
            changes["stream_options"] = raw({"include_usage": True})
        fields = {**composed, **changes} if changes else composed
        if not is_streamed and "stream_options" in fields:
            fields = {name: value for name, value in fields.items() if name != "stream_options"}
        return Call(asked.operation, target.model, fields, is_streamed, asked.body if fields is asked.fields else None)

    def _make_intake(self, call: Call, endpoint: Endpoint, *, is_events: bool) -> Intake:
        """What takes the answer in: by what the server sends, which need not be what it was asked for."""
        outward = [guard for guard in self._guards if guard.rule.on_output]
        decoder = endpoint.provider.decoder(call)
        is_stream = is_events if decoder is None else call.is_stream
        if self.is_stream and is_stream:
            hides = Capability.USAGE_ON_REQUEST in endpoint.provider.capabilities and not self.asked.head.wants_usage
            return Relay(call.operation, hides_usage=hides, guards=outward, decoder=decoder)
        return Gather(call.operation, is_stream=is_stream, guards=outward, decoder=decoder)

    def _traceparent(self) -> bytes:
        return f"00-{self.asked.trace_id}-{self.span_id}-{self.asked.trace_flags:02x}".encode()

    # What the upstream says

    @recorded
    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """Status and headers came."""
        self._status = status
        self._last_byte = now = self._worker.now()
        self.tried[-1].first_byte = now
        self.tried[-1].status = status
        if b"retry-after" in headers:
            self._retry_after = parse_retry_after(headers[b"retry-after"].decode("latin-1"))
        if status < 300 and self._call is not None:
            is_events = headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")
            self._intake = self._make_intake(self._call, self.tried[-1].endpoint, is_events=is_events)

    @recorded
    def on_data(self, data: bytes) -> None:
        """A piece of the body came."""
        self._last_byte = now = self._worker.now()
        if self._status >= 300:
            if len(self._error_body) < _ERROR_LIMIT:
                self._error_body += data[:_ERROR_LIMIT]
            return
        intake = self._intake
        if intake is None:
            return
        had_text = intake.has_text
        out = intake.feed(data)
        if not had_text and intake.has_text and self.first_token is None:
            self.first_token = now
        if isinstance(intake, Relay) and intake.refused:
            self._error_body[:] = b'{"error":%b}' % intake.refused
            self._drop_line()
            self._fail("answered with an error", 502)
        elif out:
            if not self._is_begun:
                self._is_begun = True
                self._reply.begin(200, EVENT_STREAM, self._headers())
            self._reply.send(out)

    @recorded
    def on_end(self) -> None:
        """The upstream's answer is over."""
        self._line = None
        intake, status = self._intake, self._status
        if status >= 300:
            self._fail(f"answered with status {status}", status)
            return
        if intake is None:
            return
        outcome = intake.end()
        if outcome.error and not self._is_begun and not outcome.is_refused:
            if outcome.verdicts:
                self._refused = outcome
            self._fail(outcome.error, 422 if outcome.verdicts else 502)
            return
        self._finish(outcome)

    @recorded
    def on_failure(self, reason: str, *, is_stale: bool) -> None:
        """The upstream gave no whole answer."""
        self._line = None
        if is_stale:
            tried = self.tried.pop()
            tried.endpoint.breaker(tried.target.model).leave()
            self._ask(tried.release, tried.target, tried.endpoint)
        else:
            self._fail(reason, 0)

    # How it goes on

    def _fail(self, reason: str, status: int) -> None:
        """This try failed: another one if nothing has gone to the caller and there may be one, else the end."""
        now = self._worker.now()
        tried = self.tried[-1]
        tried.end(now, reason)
        breaker = tried.endpoint.breaker(tried.target.model)
        if status == 429:
            breaker.leave()
            if self._retry_after:
                breaker.rest(min(self._retry_after, LONGEST_REST_S), now)
        elif status == 0 or status >= 500 or status in OUR_FAULT_STATUS:
            breaker.fail(now)
        else:
            breaker.succeed()
        if self._is_begun:
            if self._intake is not None:
                self._finish(self._intake.end(f"The upstream {reason}."))
            return
        may_retry = is_retried(status) or self._refused is not None
        if not may_retry or len(self.tried) >= self.admitted.route.attempts or not self._worker.retries.take():
            self._give_up()
            return
        wait = 0.0 if len(self.tried) < len(self._candidates) else self._pause_s()
        left = self.admitted.route.timeouts.total_s - (now - self.asked.began.monotonic)
        if wait > min(left, _LONGEST_WAIT_S):
            self._give_up()
        elif wait > 0:
            self._timer = self._worker.loop.call_later(wait + _TIMER_S, self._try)
        else:
            self._try()

    def _pause_s(self) -> float:
        return pause_s(len(self.tried), self._retry_after, self._worker.draw())

    def _give_up(self) -> None:
        """The last try's failure is the answer: the upstream's own error where that is the caller's business."""
        tried, status = self.tried[-1], self._status
        name = tried.endpoint.connection.name
        body = bytes(self._error_body)
        if self._refused is not None:
            self._finish(self._refused._replace(is_refused=True))
        elif status in OUR_FAULT_STATUS:
            self._refuse(
                UpstreamFailed(f"Connection {name!r} was refused by its provider (status {status}): check its secret.")
            )
        elif status >= 300 and b'"error"' in body and read_body(body).error:
            extra = b"" if self._retry_after is None else retry_after(self._retry_after)
            self._close(Result(status, error_type(status), tried.error), Answer(status, body, headers=extra))
        elif status >= 300:
            code = status if status in {400, 404, 408, 413, 422, 429, 503} else 502
            message = f"Connection {name!r} {tried.error}."
            self._close(
                Result(code, error_type(code), message),
                Answer(code, error_data(message, kind=error_type(code), code="upstream_failed")),
            )
        elif self._is_late:
            self._refuse(TimedOut(f"Connection {name!r} {tried.error}."))
        else:
            self._refuse(UpstreamFailed(f"Connection {name!r}: {tried.error}."))

    def _finish(self, outcome: Outcome) -> None:
        """An answer, good or broken off, is over."""
        tried = self.tried[-1]
        if not tried.ended:
            tried.end(self._worker.now(), "")
            tried.endpoint.breaker(tried.target.model).succeed()
        self.verdicts += outcome.verdicts
        if outcome.is_refused:
            body = error_data(outcome.error, kind="guardrail_refused", code="guardrail_refused")
            self._close(Result(422, "guardrail_refused", outcome.error, outcome), Answer(422, body))
            return
        kind = "" if not outcome.error else "stream_broken" if outcome.is_truncated else "guardrail_refused"
        self._close(Result(200, kind, outcome.error, outcome), None)

    def _refuse(self, error: RondelError, *, retry_after_s: float | None = None) -> None:
        self._close(Result(error.status, error.code, error.message), error_answer(error, retry_after_s=retry_after_s))

    def crash(self) -> None:
        """A bug of ours ended it."""
        if not self._is_over:
            self._intake = None
            self._refuse(RondelError("Something broke inside the gateway; its log says what."))

    def stop(self) -> None:
        """The worker ends before the answer does: the caller is told, and the record written."""
        self._drop_line()
        if self._is_begun and self._intake is not None:
            self._finish(self._intake.end("The gateway was stopped."))
        else:
            self._refuse(Unavailable("The gateway was stopped. Try again."), retry_after_s=1.0)

    def hang_up(self) -> None:
        """The caller is gone: so is the reason to go on."""
        if self._is_over:
            return
        self._drop_line()
        outcome = self._intake.end("caller hung up") if self._intake is not None and self._is_begun else None
        if self.tried and not self.tried[-1].ended:
            tried = self.tried[-1]
            tried.end(self._worker.now(), "the caller hung up")
            tried.endpoint.breaker(tried.target.model).leave()
        self._reply = Nobody()
        self._close(Result(_CALLER_GONE, "caller_gone", "The caller hung up.", outcome), None)

    def check(self, now: float) -> None:
        """Give up what has taken too long; called a few times a second."""
        if self._is_over or self._line is None:
            return
        limits = self.admitted.route.timeouts
        waited = now - self._last_byte
        reason = ""
        if now - self.asked.began.monotonic > limits.total_s:
            reason = f"gave no whole answer in time ({limits.total_s:g} s)"
        elif isinstance(self._line, Dial) and not self._line.is_connected:
            reason = f"took no connection in time ({limits.connect_s:g} s)" if waited > limits.connect_s else ""
        elif not self._status:
            reason = (
                f"did not begin to answer in time ({limits.first_byte_s:g} s)" if waited > limits.first_byte_s else ""
            )
        elif waited > limits.idle_s and not self._is_paused:
            reason = f"sent nothing more in time ({limits.idle_s:g} s)"
        if reason:
            self._drop_line()
            self._status, self._is_late = 0, True
            self._fail(reason, 0)

    def pause(self) -> None:
        """The caller reads more slowly than the upstream writes."""
        self._is_paused = True
        if self._line is not None:
            self._line.pause()

    def resume(self) -> None:
        """The caller has caught up."""
        self._is_paused = False
        self._last_byte = self._worker.now()
        if self._line is not None:
            self._line.resume()

    def _drop_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.abandon()

    def _headers(self) -> bytes:
        release = self.tried[-1].release if self.tried else self.admitted.release
        return self._worker.headers(self.asked, release.told)

    def _close(self, result: Result, answer: Answer | None) -> None:
        """Settle, write the record, and then hand over the last byte."""
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self._drop_line()
        self._worker.exchanges.discard(self)
        record = record_of(self, result, self._worker)
        if self.admitted.stage is not ArmStage.SHADOW:
            is_unused = record.tokens is None and result.status >= 300
            used = 0 if is_unused else None if record.tokens is None else total_tokens(record.tokens)
            self.admitted.meter.settle(self.admitted.ticket, used, record.charged_nano, self._worker.now())
        headers = self._headers()
        reply = self._reply
        if answer is not None and not self._is_begun:
            whole = answer._replace(headers=headers + answer.headers)
            self._worker.spool.add(record, lambda: reply.answer(whole))
        elif self._is_begun:
            rest = result.outcome.data if result.outcome else event_of(_broken(result))
            self._worker.spool.add(record, lambda: reply.end(rest))
        elif self.is_stream and isinstance(self._intake, Relay):
            data = result.outcome.data if result.outcome else b""
            self._worker.spool.add(record, lambda: _whole_stream(reply, data, headers))
        else:
            body = result.outcome.data if result.outcome else b""
            self._worker.spool.add(record, lambda: reply.answer(Answer(200, body, JSON, headers)))


def _broken(result: Result) -> bytes:
    return error_data(result.error_message, kind=error_type(result.status), code=result.error_type)


def _whole_stream(reply: Reply, data: bytes, headers: bytes) -> None:
    """A stream of which nothing could go on before its end."""
    reply.begin(200, EVENT_STREAM, headers)
    reply.end(data)
