"""One request from its admission to its record: one state machine of callbacks, for the caller's request and for
shadows.

    start -> try -> head -> data ... -> end -> (record written) -> last byte to the caller
              ^ failed, before the first byte went to the caller: pause, next target
    hang_up, check (deadlines): at any time
"""

import asyncio
from collections.abc import Callable

import structlog
from msgspec.structs import replace

from rondel.errors import Invalid, RondelError, Unavailable
from rondel.gateway.caching import Kept, Wish
from rondel.gateway.costing import total_tokens
from rondel.gateway.dataplane.asking import Asked
from rondel.gateway.dataplane.breaking import blame
from rondel.gateway.dataplane.cache.seeking import Seeking
from rondel.gateway.dataplane.choosing import Picker
from rondel.gateway.dataplane.failing import Failure, answer_failure, problem_of
from rondel.gateway.dataplane.folding import EMPTY
from rondel.gateway.dataplane.guarding import check_fields
from rondel.gateway.dataplane.intake import EXCERPT, Gather, Intake, Outcome, Relay
from rondel.gateway.dataplane.limits import NO_TICKET, Ticket
from rondel.gateway.dataplane.ports import Reply
from rondel.gateway.dataplane.recording import Result, Tried, note_spent, record_of
from rondel.gateway.dataplane.sending import send
from rondel.gateway.dataplane.translating import ChatWriter, intake_of, spoken
from rondel.gateway.dataplane.upstream import Dial, Line
from rondel.gateway.dataplane.ways import Candidate, Lane, Way
from rondel.gateway.dataplane.wire import (
    EVENT_STREAM,
    JSON,
    Answer,
    error_answer,
    error_type,
    problem_answer,
)
from rondel.gateway.dataplane.worker import Worker
from rondel.gateway.models import Fields, Operation
from rondel.gateway.picking import kept_callable, paced
from rondel.gateway.ports import Call, Problem
from rondel.gateway.replaying import replay
from rondel.gateway.rules import is_retried, parse_retry_after, pause_s
from rondel.telemetry.records import ArmStage, GatewayRecord, GuardVerdict

log = structlog.get_logger()

_ERROR_LIMIT = 65_536
_CALLER_GONE = 499  # nginx's status for a caller who hung up
_LONGEST_WAIT_S = 5.0  # what asks for a longer pause is told to the caller instead
_TIMER_S = 0.005  # timers may fire this much early


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
    """One request with one release (and its fallbacks); the listener of each of its tries in turn.

    `changed` are the caller's fields where a guardrail changed them, `seeking` is its way through the cache on a route
    that keeps answers, and `_order` who is asked in turn where it is not the lane's own order.
    """

    _result: Result

    def __init__(
        self, worker: Worker, asked: Asked, way: Way, lane: Lane, ticket: Ticket, reply: Reply, pair_id: str = ""
    ) -> None:
        self.asked, self.way, self.lane = asked, way, lane
        self._worker, self._reply, self.ticket = worker, reply, ticket
        self.pair_id = pair_id
        self.tried: list[Tried] = []
        self.verdicts: tuple[GuardVerdict, ...] = ()
        self.sent_body = self.excerpt = self._error_body = b""
        self.first_token: float | None = None
        self.changed: Fields | None = None
        self.seeking: Seeking | None = None
        self._line: Line | Dial | None = None
        self._intake: Intake | None = None
        self._call: Call | None = None
        self._status = 0
        self._refused: Outcome | None = None
        self._refused_try: Tried | None = None
        self._retry_after: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = self._is_begun = self._is_over = self._is_paused = False
        self._answer: Answer | None = None
        self._order: tuple[Candidate, ...] = ()
        self._why = ""
        self._last_byte = asked.began
        self.is_shadow = lane.stage is ArmStage.SHADOW
        self.is_stream = asked.head.is_stream and not self.is_shadow
        self.span_id, self.request_id = asked.span_id, asked.request_id
        if self.is_shadow:
            self.span_id, self.request_id = worker.ids.span_id(), worker.series.new(worker.now_ns())

    # The tries

    def start(self) -> None:
        """Check the input, and ask the first target; nothing for who is gone already."""
        if self._is_over:
            return
        self._worker.exchanges.add(self)
        self._take(self._begin)

    def _take(self, step: Callable[[], None]) -> None:
        """An edge: whatever a step raises is a bug; it is logged, and the caller gets a 500 instead of silence."""
        try:
            step()
        except RondelError as error:
            self._refuse(error)
        except Exception:
            log.exception("a request failed inside the gateway", request_id=self.request_id)
            self.crash()

    def _begin(self) -> None:
        if self.lane.refusal:
            raise Unavailable(self.lane.refusal)
        if self.lane.guards:
            self._check_input()
        if self.lane.picker is not None:
            self._pick(self.lane.picker)
        if self.lane.cache is not None and (flights := self._worker.flights) is not None:
            wish = self._wish()
            self.seeking = None if wish is None else flights.ask(self, self.lane.cache, wish)
        if self.seeking is None:
            self._try()
        else:
            self.seeking.begin()

    def _pick(self, picker: Picker) -> None:
        """Order the targets for this request; fallbacks stay behind them."""
        candidates = self.lane.candidates
        positions, self._why = picker.order(candidates, self.asked, self._worker)
        self._order = (*(candidates[position] for position in positions), *candidates[len(positions) :])

    def _check_input(self) -> None:
        inward = [guard for guard in self.lane.guards if guard.rule.on_input]
        if not inward:
            return
        checked = check_fields(inward, self.asked.fields)
        if checked.value != self.asked.fields:
            self.changed = checked.value
        self.verdicts += tuple(checked.verdicts)
        if checked.refusal:
            raise Invalid(checked.refusal)

    def _try(self) -> None:
        """Ask the next target that does not rest."""
        now = self._worker.now()
        resting: list[Candidate] = []
        number, candidates = len(self.tried), self._order or self.lane.candidates
        for step in range(len(candidates)):
            candidate = candidates[(number + step) % len(candidates)]
            if candidate.breaker.wait_s(now) <= 0:
                self._ask(candidate, now)
                return
            resting.append(candidate)
        self._ask_resting(resting, now)

    def _ask_resting(self, resting: list[Candidate], now: float) -> None:
        """Nobody is well: one that rests is asked, if too many do."""
        waits = [candidate.breaker.wait_s(now) for candidate in resting]
        ejected = [candidate.breaker.is_ejected for candidate in resting]
        last = self.tried[-1].candidate if self.tried else None
        callable_ = [resting[position] for position in kept_callable(waits, ejected, self.lane.resting_share)]
        candidate = next((one for one in callable_ if one is not last), None)
        if candidate is not None:
            self._ask(candidate, now)
        elif self.tried:
            self._give_up()
        elif waits:
            seconds = max(1, round(min(waits)))
            problem = f"Every target of {self.asked.head.model!r} rests after failures. Try again in {seconds} s."
            self._refuse(Unavailable(problem), retry_after_s=min(waits))
        else:
            why = " ".join(self.lane.problems) or "it has none."
            self._refuse(Unavailable(f"No target of {self.asked.head.model!r} can be called: {why}"))

    def _try_again(self) -> None:
        """The pause is over."""
        self._timer = None
        self._take(self._try)

    def _ask(self, candidate: Candidate, now: float) -> None:
        try:
            sent = send(self, candidate, now)
        except RondelError as error:
            self._cannot_ask(error)
            return
        self._call, self.sent_body = sent.call, sent.told
        if self.tried:
            self._status, self._retry_after, self._is_late, self._error_body = 0, None, False, b""
            self._intake = None
        self._last_byte = now
        self.tried.append(Tried(candidate, now, why=self._why))
        candidate.breaker.begin()
        self._line = candidate.endpoint.send(self, sent.request)
        if self._is_paused:
            self._line.pause()

    def _cannot_ask(self, error: RondelError) -> None:
        """This target cannot be asked that: what is known already is the answer, if anything is."""
        if self.tried:
            self._give_up()
        else:
            self._refuse(error)

    def _make_intake(self, call: Call, candidate: Candidate, *, is_events: bool) -> Intake:
        """What takes the answer in: by what the server sends, which need not be what it was asked for."""
        decoder, outward = candidate.endpoint.provider.decoder(call), self.lane.outward
        if decoder is not None or self.asked.entry.foreign is not None:
            return intake_of(self.asked, call, decoder, outward, is_stream=self.is_stream, is_events=is_events)
        if self.is_stream and is_events:
            hides = candidate.asks_for_usage and not self.asked.head.wants_usage
            return Relay(call.operation, hides_usage=hides, guards=outward)
        return Gather(call.operation, is_stream=is_events, guards=outward)

    # What the cache says

    def _wish(self) -> Wish | None:
        """What is asked, in OpenAI's dialect whoever asks it; None for what cannot be said there."""
        asked, foreign = self.asked, self.asked.entry.foreign
        if asked.operation is Operation.RESPONSES or (foreign is not None and foreign.asks_for_beta):
            return None  # the server keeps what was answered, or says what nobody here knows
        is_chat = foreign is not None and asked.operation is not Operation.COUNT_TOKENS
        try:
            fields = asked.fields if self.changed is None else self.changed
        except Invalid:
            return None
        operation = Operation.CHAT if is_chat else asked.operation
        return Wish(asked.entry.cache, self.way.key, asked.user, operation, fields, asked.head.metadata)

    def _land(self, seeking: Seeking, result: Result) -> Result:
        """Keep a good answer, and let those go on who wait for it; what its own caller got."""
        outcome = result.outcome
        is_good = result.status == 200 and not result.error_type and outcome is not None and not outcome.is_truncated
        release = self.tried[-1].candidate.release if self.tried else None
        seeking.over(outcome.folded.body if is_good and outcome is not None else b"", self.verdicts, release)
        if seeking.is_left:
            return Result(_CALLER_GONE, "caller_gone", "The caller hung up.", outcome)
        return result

    def go_on(self) -> None:
        """The model has to be asked."""
        self._take(self._try)

    def give(self, kept: Kept) -> None:
        """The answer was there."""
        self._take(lambda: self._give(kept))

    def _give(self, kept: Kept) -> None:
        body, head = kept.whole(self.request_id), self.asked.head
        told = replace(EMPTY, body=body, id=kept.id_of(self.request_id), model=kept.model)
        told = replace(told, finish_reason=kept.finish_reason, is_done=True, is_finished=True)
        data, content_type = body, JSON
        if self.is_stream:
            self.first_token = self._worker.now()
            operation = self.asked.operation if self.asked.entry.foreign is None else Operation.CHAT
            data = replay(body, operation, wants_usage=head.wants_usage)
            content_type = JSON if head.is_array else EVENT_STREAM
        data = spoken(self.asked, data, is_stream=self.is_stream)
        self._close(Result(200, outcome=Outcome(data, told)), Answer(200, data, content_type))

    def refuse(self, error: RondelError) -> None:
        """There is none, and no model may be asked."""
        self._refuse(error)

    # What the upstream says

    def on_head(self, status: int, content_type: bytes, retry_after: bytes) -> None:
        """Status and headers came."""
        self._status = status
        self._last_byte = now = self._worker.now()
        tried = self.tried[-1]
        tried.first_byte, tried.status = now, status
        if retry_after:
            self._retry_after = parse_retry_after(retry_after.decode("latin-1"))
        if status < 300 and self._call is not None:
            is_events = content_type[:17].lower() == b"text/event-stream"
            self._intake = self._make_intake(self._call, tried.candidate, is_events=is_events)

    def on_data(self, data: bytes) -> None:
        """A piece of the body came."""
        self._last_byte = now = self._worker.now()
        intake = self._intake
        if intake is None:
            self._error_body = (self._error_body + data)[:_ERROR_LIMIT]
            return
        out = intake.feed(data)
        if self.first_token is None and intake.has_text:
            self.first_token = now
        if out:
            if self._is_begun:
                self._reply.send(out)
            else:
                self._open(intake, out)
        elif intake.refused:
            self._error_body = b'{"error":%b}' % intake.refused
            self._drop_line()
            self._fail("answered with an error", 502)

    def on_end(self) -> None:
        """The upstream's answer is over."""
        self._line = None
        intake, status = self._intake, self._status
        if intake is None:
            problem = problem_of(self._failure()) if status == 429 or status >= 500 else None
            if problem is not None:
                self._retry_after = self._retry_after or problem.retry_after_s
                if problem.is_callers:
                    self._status = status = 400
            self._fail(f"answered with status {status}", status)
            return
        self._take_whole(intake.end())

    def _open(self, intake: Intake, out: bytes) -> None:
        """The first piece of a stream may go to the caller."""
        self._is_begun = True
        self._reply.begin(200, intake.content_type, self._headers())
        self._reply.send(out)

    def _take_whole(self, outcome: Outcome) -> None:
        """The upstream's answer is whole: it is the caller's if it is good."""
        if outcome.error and not self._is_begun and not outcome.is_refused:
            self.excerpt = outcome.excerpt
            if outcome.verdicts:
                self._refused, self._refused_try = outcome, self.tried[-1]
                note_spent(self, self.tried[-1], outcome.folded)  # it was made, and the caller does not get it
            self._fail(outcome.error, 422 if outcome.verdicts else 502)
            return
        self._finish(outcome)

    def on_failure(self, reason: str, *, is_stale: bool) -> None:
        """The upstream gave no whole answer."""
        self._line = None
        if is_stale:
            tried = self.tried.pop()
            tried.candidate.breaker.leave()
            self._ask(tried.candidate, self._worker.now())
        else:
            self._fail(reason, 0)

    def crash(self) -> None:
        """A bug of ours ended it."""
        if not self._is_over:
            self._intake = None
            self._refuse(RondelError("Something broke inside the gateway; its log says what."))

    # How it goes on

    def _fail(self, reason: str, status: int) -> None:
        """This try failed: another one if nothing has gone to the caller and there may be one, else the end."""
        now = self._worker.now()
        tried = self.tried[-1]
        tried.end(now, reason)
        blame(tried.candidate.breaker, status, self._retry_after, now, is_paced=self.lane.is_paced)
        if self._is_begun:
            if self._intake is not None:
                self._finish(self._intake.end(f"The upstream {reason}."))
            return
        self._go_on(status, now)

    def _go_on(self, status: int, now: float) -> None:
        """Nothing has gone to the caller yet: another try, if there may be one."""
        may_retry = is_retried(status) or self._refused is not None
        if not may_retry or len(self.tried) >= self.way.route.attempts or not self._worker.retries.take():
            self._give_up()
            return
        wait = 0.0 if len(self.tried) < len(self.lane.candidates) else self._pause_s()
        left = self.way.route.timeouts.total_s - (now - self.asked.began)
        if wait > min(left, _LONGEST_WAIT_S):
            self._give_up()
        elif wait > 0:
            self._timer = self._worker.loop.call_later(wait + _TIMER_S, self._try_again)
        else:
            self._try()

    def _pause_s(self) -> float:
        return pause_s(len(self.tried), self._retry_after, self._worker.draw())

    def _give_up(self) -> None:
        """The last try's failure is the answer."""
        self.excerpt = self._error_body[:EXCERPT] or self.excerpt
        if self._refused is not None and self._refused_try is not None:
            kept = self._refused_try
            self.tried = [*(one for one in self.tried if one is not kept), kept]  # whose answer it is stands last
            kept.tokens = kept.nano = None  # they stand in the record itself
            self._refused.is_refused = True
            self._finish(self._refused)
        else:
            self._close(*answer_failure(self._failure()))

    def _failure(self) -> Failure:
        wait, is_late = self._retry_after, self._is_late
        return Failure(self.asked, self.tried[-1], self._call, self._status, self._error_body, wait, is_late)

    def _finish(self, outcome: Outcome) -> None:
        """An answer, good or broken off, is over."""
        tried = self.tried[-1]
        if not tried.ended:
            now, breaker = self._worker.now(), tried.candidate.breaker
            tried.end(now, "")
            breaker.succeed()
            if self.lane.is_paced:
                breaker.pace = paced(breaker.pace, tried.first_byte - tried.started, now)
        self.verdicts += outcome.verdicts
        if outcome.is_refused:
            problem = Problem(outcome.error, "guardrail_refused", "guardrail_refused")
            self._close(Result(422, "guardrail_refused", outcome.error, outcome), problem_answer(422, problem))
            return
        kind = "" if not outcome.error else "stream_broken" if outcome.is_truncated else "guardrail_refused"
        self._close(Result(200, kind, outcome.error, outcome), None)

    def _refuse(self, error: RondelError, *, retry_after_s: float | None = None) -> None:
        if self.tried and not self.tried[-1].ended:  # it was stopped, or crashed
            self.tried[-1].end(self._worker.now(), error.message)
            self.tried[-1].candidate.breaker.leave()
        self._close(Result(error.status, error.code, error.message), error_answer(error, retry_after_s=retry_after_s))

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
        if self.seeking is not None and self.seeking.leave_to_others():
            self._reply = Nobody()
            self.resume()
            return
        self._drop_line()
        outcome = self._intake.end("caller hung up") if self._intake is not None and self._is_begun else None
        if self.tried and not self.tried[-1].ended:
            tried = self.tried[-1]
            tried.end(self._worker.now(), "the caller hung up")
            tried.candidate.breaker.leave()
        self._reply = Nobody()
        self._close(Result(_CALLER_GONE, "caller_gone", "The caller hung up.", outcome), None)

    def check(self, now: float) -> None:
        """Give up what has taken too long; called a few times a second."""
        if self.seeking is not None:
            self.seeking.check(now)
        if self._is_over or self._line is None:
            return
        limits = self.way.route.timeouts
        waited = now - self._last_byte
        reason = ""
        if now - self.asked.began > limits.total_s:
            reason = f"gave no whole answer in time ({limits.total_s:g} s)"
        elif isinstance(self._line, Dial) and not self._line.is_connected:
            reason = f"took no connection in time ({limits.connect_s:g} s)" if waited > limits.connect_s else ""
        elif not self._status or self._last_byte == self.tried[-1].first_byte:  # nothing of its body came
            is_late = now - self.tried[-1].started > limits.first_byte_s
            reason = f"did not begin to answer in time ({limits.first_byte_s:g} s)" if is_late else ""
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
        told = answer_headers(self.asked, self.tried[-1].candidate.told if self.tried else self.lane.told)
        return told if self.seeking is None else told + self.seeking.headers()

    def _close(self, result: Result, answer: Answer | None) -> None:
        """Settle, write the record, and then hand over the last byte."""
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self._drop_line()
        self._worker.exchanges.discard(self)
        worker = self._worker
        if self.seeking is not None:
            result = self._land(self.seeking, result)
        try:
            record = record_of(self, result, worker)
        except Exception:
            self.way.meter.settle(self.ticket, None, None)  # what was reserved does not stay so
            raise
        if self.ticket is not NO_TICKET:
            self._settle(record, result)
        worker.metrics.tell(record)
        self._result, self._answer = result, answer
        worker.spool.add(record, self._hand_over)

    def _settle(self, record: GatewayRecord, result: Result) -> None:
        """What was used in the place of the guess, which stands where nothing is known."""
        is_given = self.seeking is not None and self.seeking.is_given
        is_unused = record.tokens is None and (is_given or result.status >= 300)
        used = 0 if is_unused else None if record.tokens is None else total_tokens(record.tokens)
        if used is not None and self.lane.answers > 1:
            used += sum(total_tokens(each.tokens) for each in record.attempts if each.tokens is not None)
        self.way.meter.settle(self.ticket, used, record.charged_nano)

    def _hand_over(self) -> None:
        """The record is written: the last byte may go."""
        result, answer = self._result, self._answer
        reply, outcome = self._reply, result.outcome
        if answer is not None and not self._is_begun:
            reply.answer(answer.under(self._headers()))
        elif self._is_begun:
            reply.end(outcome.data if outcome else _broken(self.asked, result))
        elif self._intake is not None and self._intake.is_stream:  # nothing of it could go on before its end
            reply.begin(200, self._intake.content_type, self._headers())
            reply.end(outcome.data if outcome else b"")
        else:
            reply.answer(Answer(200, outcome.data if outcome else b"", JSON, self._headers()))


def answer_headers(asked: Asked, release_id: str) -> bytes:
    """What every answer tells in its headers."""
    release = f"x-rondel-release: {release_id}\r\n" if release_id else ""
    return f"x-request-id: {asked.request_id}\r\nx-rondel-trace-id: {asked.trace_id}\r\n{release}".encode()


def _broken(asked: Asked, result: Result) -> bytes:
    """The end of a stream that cannot go on."""
    problem, foreign = Problem(result.error_message, error_type(result.status), result.error_type), asked.entry.foreign
    writer = ChatWriter(hides_usage=True) if foreign is None else foreign.dialect.writer({}, asked.head, asked.body)
    return writer.broken(problem)
