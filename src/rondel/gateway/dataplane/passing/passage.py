"""One request that is passed on, from its head to its record: bytes both ways, at the pace of the slower side.

    read -> admit -> ask -> answer ... -> record -> last byte to the caller
                      ^ a GET that failed before its answer began, once more
    hang_up, check (deadlines): at any time

Nothing is sent twice that could change anything, and nothing is held whole but what has to be read.
"""

from collections.abc import Callable

import structlog

from rondel.errors import Invalid, RondelError, TimedOut, Unauthorized, Unavailable, UpstreamFailed
from rondel.gateway.costing import total_tokens
from rondel.gateway.dataplane.limits import NO_TICKET, Limited, Meter, Starved, Ticket
from rondel.gateway.dataplane.passing.errands import Errand, Reading
from rondel.gateway.dataplane.passing.heads import Framing, answer_head, request_head
from rondel.gateway.dataplane.passing.keeping import Course, Entered, Kept, Try, is_text, record_of
from rondel.gateway.dataplane.passing.lines import PassLine
from rondel.gateway.dataplane.passing.money import Usage
from rondel.gateway.dataplane.ports import Relayed
from rondel.gateway.dataplane.request import Request
from rondel.gateway.dataplane.upstream import Dial, Line
from rondel.gateway.dataplane.waiting import LEASE_WAIT_S
from rondel.gateway.dataplane.wire import LAST_CHUNK, Answer, chunk
from rondel.gateway.dataplane.worker import Worker
from rondel.gateway.rules import LONGEST_REST_S, OUR_FAULT_STATUS, parse_retry_after

log = structlog.get_logger()

HELD_LIMIT = 256 * 1024
"""Bytes of a body that wait for their server; then the caller waits."""
UPLOAD_IDLE_S = 60.0
_CALLER_GONE = 499
_TRIES = 2


class Passage:
    """The handler of its caller's request, and the listener of the server's line."""

    def __init__(self, worker: Worker, caller: Relayed, request: Request, entered: Entered, reading: Reading) -> None:
        self._worker, self._caller, self._request = worker, caller, request
        self._entered, self._reading = entered, reading
        self._errand: Errand | None = None
        self._ticket: Ticket | None = None
        self._meter: Meter | None = None
        self._line: Line | Dial | None = None
        self._out: PassLine | None = None
        """The line, once it stands."""
        self._held: list[bytes] = []
        self._held_size = 0
        self._tries: list[Try] = []
        self._framing: Framing | None = None
        self._last = b""
        """What is handed over only when the record is written."""
        self._came = 0
        self._is_begun = self._is_uploaded = self._is_over = False
        self._is_paused = self._is_full = self._is_holding = False
        self._failed = b""
        self._refused_status = 0
        self._content_type = self._retry_after = b""
        self._usage: Usage | None = None
        self._asked, self._answered = Kept(0), Kept(0)
        self._last_in = self._last_out = entered.began
        self._early: list[bytes] = request.parts
        request.parts = []
        self._is_early = True
        self._early_end = request.is_complete
        worker.exchanges.add(self)
        worker.loop.call_soon(self._begin)  # its caller has to know it first

    # The caller's side

    def _begin(self) -> None:
        """Read what came so far."""
        self._is_early = False
        early, self._early = self._early, []
        self._step(self._read_head)
        for part in early:
            self.body(part)
        if self._early_end:
            self.complete()

    def _step(self, step: Callable[[], None]) -> None:
        """An edge: what a step raises is an answer; what is no error of ours is a bug and a 500."""
        if self._is_over:
            return
        try:
            step()
        except RondelError as error:
            self._refuse(error)
        except Exception:
            log.exception("a request failed inside the gateway", request_id=self._entered.request_id)
            self.crash()

    def _read_head(self) -> None:
        self._go(self._reading.head())

    def body(self, data: bytes) -> None:
        """A piece of the request's body."""
        if self._is_early:
            self._early.append(data)
        elif data:
            self._step(lambda: self._take_in(data))

    def complete(self) -> None:
        """The request is whole."""
        if self._is_early:
            self._early_end = True
        else:
            self._step(self._end_body)

    def _take_in(self, data: bytes) -> None:
        self._last_in = self._worker.now()
        errand = self._errand
        if errand is None:
            self._go(self._reading.feed(data))
            return
        if errand.form is not None:
            errand.form.feed(data)
            if not errand.model and errand.form.model is not None:
                raise Invalid("The form's field 'model' came too late: send fields before files.")
        self._send(data)

    def _end_body(self) -> None:
        self._is_uploaded = True
        self._last_in = self._last_out = self._worker.now()
        if self._errand is None:
            self._go(self._reading.end())
        elif self._out is not None:
            self._finish_upload(self._out)

    def _send(self, data: bytes) -> None:
        """To the server, or held until it takes it."""
        self._asked.add(data)
        errand, line = self._errand, self._out
        framed = chunk(data) if errand is not None and errand.length is None else data
        if line is not None:
            line.write(framed)
            return
        self._held.append(framed)
        self._held_size += len(framed)
        if self._held_size > HELD_LIMIT and not self._is_holding:
            self._is_holding = True
            self._caller.pause_reading()

    def hang_up(self) -> None:
        """The caller is gone: so is the reason to go on."""
        if self._is_over:
            return
        self._leave_try("the caller hung up")
        self._drop_line()
        self._close(_CALLER_GONE, "caller_gone", "The caller hung up.", None, is_truncated=self._is_begun)

    def pause(self) -> None:
        """The caller reads more slowly than the server writes."""
        self._is_paused = True
        if self._line is not None:
            self._line.pause()

    def resume(self) -> None:
        """The caller has caught up."""
        self._is_paused = False
        self._last_out = self._worker.now()
        if self._line is not None:
            self._line.resume()

    # To the server

    def _go(self, errand: Errand | None) -> None:
        """It is known where it goes."""
        if errand is None:
            return
        self._errand = errand
        self._asked = Kept(errand.route.capture_limit if errand.is_json else 0)
        self._answered = Kept(errand.route.capture_limit)
        for part in errand.held:
            self._send(part)
        self._admit(self._worker.now() + LEASE_WAIT_S)

    def _admit(self, until: float) -> None:
        """Take what it may need of its limits; what is being looked up is waited for."""
        errand, entry = self._errand, self._entered.entry
        plan = self._worker.plan
        if errand is None or plan is None:
            return
        meter = plan.meters.get(entry.key.id)
        if meter is None:
            raise Unauthorized("The key was revoked while the request came.")
        now = self._worker.now()
        try:
            ticket = meter.admit(errand.user, errand.guess.tokens, errand.guess.nano, now)
        except Starved as error:
            if now >= until:
                raise
            error.then(lambda: self._step(lambda: self._admit(until)))
            return
        if errand.is_light:
            meter.settle(ticket, 0, 0)
        else:
            self._meter, self._ticket = meter, ticket
        self._ask(errand)

    def _ask(self, errand: Errand) -> None:
        now = self._worker.now()
        wait = errand.breaker.wait_s(now)
        name = errand.endpoint.connection.name
        if wait > 0:
            seconds = max(1, round(wait))
            raise Unavailable(f"Connection {name!r} rests after failures. Try again in {seconds} s.")
        self._tries.append(Try(now))
        self._last_out = now
        errand.breaker.begin()
        host, trace = errand.endpoint.address.authority, self._entered.trace
        head = request_head(errand.method, errand.target, host, errand.headers, errand.length, trace)
        is_head = errand.method == "HEAD"
        self._line = errand.endpoint.ask(self, head, is_head=is_head, is_repeatable=errand.is_repeatable)
        if self._is_paused:
            self._line.pause()

    def on_connected(self, line: PassLine) -> None:
        """The head is on its way: what was held of the body follows."""
        self._out = line
        self._last_out = self._worker.now()
        held, self._held, self._held_size = self._held, [], 0
        if held:
            line.write(b"".join(held))
        if self._is_uploaded:
            self._finish_upload(line)
        elif self._is_holding and not self._is_full:
            self._is_holding = False
            self._caller.resume_reading()

    def _finish_upload(self, line: PassLine) -> None:
        if self._errand is not None and self._errand.length is None:
            line.write(LAST_CHUNK)
        line.is_sent = True

    def on_full(self) -> None:
        """The server reads more slowly than the caller writes."""
        self._is_full = True
        self._caller.pause_reading()

    def on_drained(self) -> None:
        """The server has caught up."""
        self._is_full = False
        self._last_out = self._last_in = self._worker.now()
        self._caller.resume_reading()

    # From the server

    def on_head(self, status: int, content_type: bytes, retry_after: bytes) -> None:
        """The answer begins."""
        errand, line = self._errand, self._out
        if errand is None or line is None or self._is_over:
            return
        self._last_out = now = self._worker.now()
        tried = self._tries[-1]
        tried.first_byte, tried.status = now, status
        self._content_type, self._retry_after = content_type, retry_after
        if status in OUR_FAULT_STATUS:
            self._refused_status = status
            return
        answers = errand.answers
        headers = line.headers if answers is None else answers.head(status, line.headers)
        rewritten = answers is not None and answers.rewrites
        is_head = errand.method == "HEAD"
        framing = Framing(headers, status, is_head=is_head, is_old=self._request.is_old, rewritten=rewritten)
        self._framing, self._is_begun = framing, True
        if is_text(content_type):
            self._usage = Usage()
        closes = not self._request.keeps_alive or self._worker.is_draining
        ids = f"x-rondel-request-id: {self._entered.request_id}\r\nx-rondel-trace-id: {self._entered.trace_id}\r\n"
        self._caller.relay(answer_head(status, headers, framing.lines(closes=closes), ids.encode()))

    def on_data(self, data: bytes) -> None:
        """A piece of the answer."""
        self._step(lambda: self._pass_back(data))

    def _pass_back(self, data: bytes) -> None:
        errand, framing = self._errand, self._framing
        self._last_out = self._worker.now()
        if errand is None or framing is None or self._is_over:
            return
        if errand.answers is not None:
            data = errand.answers.feed(data)
        self._relay(data, framing)

    def _relay(self, data: bytes, framing: Framing) -> None:
        if not data:
            return
        self._came += len(data)
        self._answered.add(data)
        if self._usage is not None:
            self._usage.feed(data)
        if framing.length is not None and self._came >= framing.length:
            self._last += data
        else:
            self._caller.relay(chunk(data) if framing.is_chunked else data)

    def on_end(self) -> None:
        """The answer is whole."""
        self._step(self._end)

    def _end(self) -> None:
        errand, framing, tried = self._errand, self._framing, self._tries[-1]
        self._line = self._out = None
        if errand is None or self._is_over:
            return
        tried.ended = self._worker.now()
        self._judge(errand, tried.status)
        if framing is None:
            name = errand.endpoint.connection.name
            reason = f"Connection {name!r} was refused by its provider (status {self._refused_status})"
            self._refuse(UpstreamFailed(f"{reason}: check its secret."))
            return
        kind = message = ""
        if errand.answers is not None:
            self._relay(errand.answers.end(), framing)
            kind, message = errand.answers.error()
        if framing.is_chunked:
            self._last += LAST_CHUNK
        if tried.status >= 400 and not kind:
            kind, message = f"http_{tried.status}", f"The server answered with status {tried.status}."
        self._close(tried.status, kind, message, None)

    def on_failure(self, reason: str, *, is_stale: bool) -> None:
        """The server gave no whole answer."""
        errand = self._errand
        self._line = self._out = None
        if errand is None or self._is_over:
            return
        if is_stale and errand.is_repeatable:
            self._tries.pop()
            errand.breaker.leave()
            self._step(lambda: self._ask(errand))
            return
        self._fail(errand, reason)

    def crash(self) -> None:
        """A bug of ours ended it."""
        if not self._is_over:
            self._refuse(RondelError("Something broke inside the gateway; its log says what."))

    # How it ends

    def _fail(self, errand: Errand, reason: str, *, is_late: bool = False) -> None:
        now = self._worker.now()
        tried = self._tries[-1]
        tried.ended, tried.error = now, reason
        errand.breaker.fail(now)
        if not self._is_begun and errand.is_repeatable and len(self._tries) < _TRIES and self._worker.retries.take():
            self._step(lambda: self._ask(errand))
            return
        sentence = f"Connection {errand.endpoint.connection.name!r} {reason}."
        self._refuse(TimedOut(sentence) if is_late else UpstreamFailed(sentence))

    def _judge(self, errand: Errand, status: int) -> None:
        """What the answer says about the server's health."""
        breaker = errand.breaker
        if status == 429:
            breaker.leave()
            if rest := parse_retry_after(self._retry_after.decode("latin-1")):
                breaker.rest(min(rest, LONGEST_REST_S), self._worker.now())
        elif status >= 500 or status in OUR_FAULT_STATUS:
            breaker.fail(self._worker.now())
        else:
            breaker.succeed()

    def _refuse(self, error: RondelError) -> None:
        """Answer with an error, or break off what had begun."""
        if self._is_over:
            return
        self._leave_try("was left")
        self._drop_line()
        if self._is_begun:
            self._close(self._tries[-1].status, "stream_broken", error.message, None, is_truncated=True)
            return
        retry_after_s = error.wait_s if isinstance(error, Limited) else None
        answer = self._reading.told(error, retry_after_s)
        self._close(answer.status, error.code, error.message, answer)

    def _leave_try(self, reason: str) -> None:
        if self._tries and not self._tries[-1].ended and self._errand is not None:
            self._tries[-1].ended, self._tries[-1].error = self._worker.now(), reason
            self._errand.breaker.leave()

    def _drop_line(self) -> None:
        line, self._line, self._out = self._line, None, None
        if line is not None:
            line.abandon()

    def _close(
        self, status: int, kind: str, message: str, answer: Answer | None, *, is_truncated: bool = False
    ) -> None:
        """Settle, write the record, and then hand over the last byte."""
        self._is_over = True
        worker, ticket = self._worker, self._ticket
        worker.exchanges.discard(self)
        self._held = []
        if self._is_full or self._is_holding:
            self._caller.resume_reading()  # what is left of the body is read, and not kept
        passed = self._reading.passed
        course = Course(
            self._entered,
            passed,
            self._errand,
            self._tries,
            self._asked,
            self._answered,
            self._content_type,
            self._usage,
            status,
            kind,
            message,
            is_truncated,
        )
        meter = None if ticket is None or ticket is NO_TICKET else self._meter
        try:
            record = record_of(course, worker.now(), worker.number)
        except Exception:
            if meter is not None and ticket is not None:
                meter.settle(ticket, None, None)  # what was reserved does not stay so
            raise
        if meter is not None and ticket is not None:
            used = 0 if record.tokens is None else total_tokens(record.tokens)
            meter.settle(ticket, used, record.charged_nano or 0)
        worker.metrics.tell(record)
        worker.spool.add(record, lambda: self._hand_over(answer, is_broken=is_truncated))

    def _hand_over(self, answer: Answer | None, *, is_broken: bool) -> None:
        if is_broken:
            self._caller.abort()
        elif answer is not None:
            self._caller.answer(answer)
        elif self._framing is not None:
            if self._last:
                self._caller.relay(self._last)
            self._caller.relayed(keeps_alive=not self._framing.closes and not self._worker.is_draining)

    def stop(self) -> None:
        """The worker ends before the answer does."""
        self._refuse(Unavailable("The gateway was stopped. Try again."))

    def check(self, now: float) -> None:
        """Give up what has taken too long; called a few times a second."""
        if self._is_over:
            return
        if not self._is_uploaded and not self._is_full and now - max(self._last_in, self._last_out) > UPLOAD_IDLE_S:
            self._refuse(TimedOut("The request's body did not come in time."))
            return
        errand, line = self._errand, self._line
        if errand is None or line is None:
            return
        limits, waited, reason = errand.route.timeouts, now - self._last_out, ""
        if isinstance(line, Dial) and not line.is_connected:
            reason = f"took no connection in time ({limits.connect_s:g} s)" if waited > limits.connect_s else ""
        elif not self._tries[-1].status:
            late = self._is_uploaded and waited > limits.first_byte_s
            reason = f"did not begin to answer in time ({limits.first_byte_s:g} s)" if late else ""
        elif waited > limits.idle_s and not self._is_paused:
            reason = f"sent nothing more in time ({limits.idle_s:g} s)"
        if reason:
            self._drop_line()
            self._fail(errand, reason, is_late=True)
