"""A caller's connection: requests in, answers out, one after the other, with limits on what a caller may make us
hold."""

import asyncio
from collections import deque
from typing import cast

import httptools
import structlog

from rondel.errors import Invalid, NotFound, TimedOut, TooLarge, Unauthorized
from rondel.gateway.dataplane.asking import Entry
from rondel.gateway.dataplane.heads import locate
from rondel.gateway.dataplane.ports import Handler, Uploading
from rondel.gateway.dataplane.reception import Reception
from rondel.gateway.dataplane.request import Request, operation_of
from rondel.gateway.dataplane.speaking import DIALECTS
from rondel.gateway.dataplane.wire import CONTINUE, LAST_CHUNK, Answer, chunk, error_answer, head, problem_answer
from rondel.gateway.models import Operation
from rondel.gateway.ports import Problem

log = structlog.get_logger()

HEAD_LIMIT = 64 * 1024
HEADERS_LIMIT = 128
TARGET_LIMIT = 8 * 1024
PIPELINE_LIMIT = 64 * 1024
HEAD_S = 10.0
BODY_IDLE_S = 30.0
KEEP_ALIVE_S = 75.0
SLOW_READER_S = 60.0
LINGER_S = 2.0
REST_LIMIT = 1024 * 1024
"""Bytes that are read of a request after its answer; beyond that the connection ends."""


class Caller:
    """One connection, as `asyncio.Protocol` is told of it; it is the `Reply` of its current request."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._worker = worker = reception.worker
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._parsing = Request()
        self._parsing.is_complete = True  # nothing has begun
        self._first = b""
        self._missing = 0
        """Bytes that are to come of a request whose head was known."""
        self._entry: Entry | None = None
        self._current: Request | None = None
        self._waiting: deque[Request] = deque()
        self._handler: Handler | None = None
        self._uploading: Uploading | None = None
        self._is_in_head = self._is_chunked = self._is_closing = self._is_lingering = False
        self._head_size = 0
        self._since = worker.now()
        self._paused_since = 0.0

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast("asyncio.Transport", transport)
        self._worker.callers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the protocol's signature
        """It is gone, and with it every reason to go on."""
        self._transport = None
        self._worker.left(self)
        handler, self._handler, self._uploading = self._handler, None, None
        self._waiting.clear()
        if handler is not None:
            handler.hang_up()

    def eof_received(self) -> bool:
        """It sends no more: the connection is closed."""
        return False

    def pause_writing(self) -> None:
        """The socket is full."""
        self._paused_since = self._worker.now()
        if self._handler is not None:
            self._handler.pause()

    def resume_writing(self) -> None:
        """The socket takes bytes again."""
        self._paused_since = 0.0
        if self._handler is not None:
            self._handler.resume()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._is_lingering or self._transport is None:
            return
        if self._missing:
            self._take_in(data)
            return
        if self._current is None and self._parsing.is_complete and not self._waiting:
            if self._recognise(data):
                return
            self._first = data
        self._since = self._worker.now() if not self._is_in_head else self._since
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse_now(_refusal(501, "Protocol upgrades are not served.", "upgrade"))
            return
        except httptools.HttpParserCallbackError:
            log.exception("a request failed inside the gateway")
            self._refuse_now(_refusal(500, "Something broke inside the gateway; its log says what.", "internal_error"))
            return
        except httptools.HttpParserError as error:
            self._refuse_now(error_answer(Invalid(f"This is not an HTTP/1.1 request: {error}.")))
            return
        if self._is_in_head:
            self._head_size += len(data)
            if self._head_size > HEAD_LIMIT:
                self._refuse_now(_head_too_large())

    # Heads that came before

    def _recognise(self, data: bytes) -> bool:
        """Take a request whose head is known, whole or with its body to come; False when it has to be parsed."""
        place = locate(data)
        if place is None or place.length > self._worker.body_limit:
            return False
        known = self._worker.heads.find(place.key, self._worker.now_ns())
        missing = place.length + place.body - len(data)
        if known is None or missing < 0:
            return False
        if not missing:
            self._current = known.whole
            self._handler = self._reception.admit(self, known.entry, known.operation, data[place.body :])
            return True
        self._current = request = Request()
        request.method, request.path, request.operation = b"POST", known.whole.path, known.operation
        request.content_length, request.parts = place.length, [data[place.body :]]
        self._missing, self._entry = missing, known.entry
        self._since = self._worker.now()
        return True

    def _take_in(self, data: bytes) -> None:
        """A piece of the body of a request whose head is known."""
        request, entry = self._current, self._entry
        if request is None or entry is None or request.operation is None:
            return
        self._since = self._worker.now()
        piece, rest = data[: self._missing], data[self._missing :]
        self._missing -= len(piece)
        request.parts.append(piece)
        if not self._missing:
            request.is_complete, self._entry = True, None
            expires = entry.key.expires_at_ns
            if expires is not None and expires <= self._worker.now_ns():
                self.answer(error_answer(Unauthorized("The key has expired: ask for a new one.")))
                return
            self._handler = self._reception.admit(self, entry, request.operation, request.whole_body())
            if rest:
                self.data_received(rest)

    # The parser's findings

    def on_message_begin(self) -> None:
        """A request begins; only the first in a piece begins with it."""
        self._parsing = Request()
        self._parsing.first, self._first = self._first, b""
        self._is_in_head, self._head_size = True, 0
        self._since = self._worker.now()

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._parsing.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; a trailer behind the body counts for nothing (RFC 9110, 6.5.1)."""
        if self._is_in_head:
            self._parsing.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: refuse what can be refused before its body comes."""
        self._is_in_head = False
        if self._is_lingering:
            return  # it came in the same piece as what ended the connection
        request = self._parsing
        request.method = self._parser.get_method()
        request.path = request.target.partition(b"?")[0]
        request.operation = operation_of(request.path)
        version = self._parser.get_http_version()
        request.is_old = version == "1.0"
        request.refusal = self._read_head(request) if version in {"1.0", "1.1"} else _no_version()
        if self._current is None and not self._waiting:
            self._start(request)
        else:
            self._waiting.append(request)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        request = self._parsing
        if request.refusal is not None:
            return
        if self._uploading is not None and request is self._current:
            self._uploading.body(body)
            return
        request.size += len(body)
        request.parts.append(body)
        if request.size > self._worker.body_limit:
            request.refusal, request.parts = self._too_large(), []
            if request is self._current:
                self.answer(request.refusal)
        elif request is not self._current and request.size > PIPELINE_LIMIT:
            self.pause_reading()

    def on_message_complete(self) -> None:
        """The request is whole."""
        request = self._parsing
        request.is_complete = True
        request.keeps_alive = self._parser.should_keep_alive()
        if request is not self._current or request.refusal is not None:
            return
        if self._uploading is not None:
            self._uploading.complete()
        elif self._handler is None:
            self._serve(request)

    def _read_head(self, request: Request) -> Answer | None:
        """Take from the headers what is needed; an answer when the request is refused."""
        size = 0
        for name, value in request.headers:
            size += len(name) + len(value) + 4
            lower = name.lower()
            if lower == b"content-length":
                request.content_length = int(value)
            elif lower == b"transfer-encoding":
                if value.strip().lower() != b"chunked":
                    return error_answer(Invalid("The only transfer coding that is taken is 'chunked'."))
                request.is_chunked = True
            elif lower == b"expect":
                request.is_expecting = value.lower() == b"100-continue"
            elif lower == b"upgrade" and value.lower() == b"websocket":
                return _refusal(501, "WebSockets are not served: the guide says what to do instead.", "upgrade")
            elif lower == b"content-encoding" and request.operation is not None and value.lower() != b"identity":
                return _refusal(415, "Send the body uncompressed.", "content_encoding")
        return _head_too_large() if size > HEAD_LIMIT else self._judge_head(request)

    def _judge_head(self, request: Request) -> Answer | None:
        """An answer when the head says enough to refuse the request."""
        if len(request.headers) > HEADERS_LIMIT:
            return _head_too_large()
        if len(request.target) > TARGET_LIMIT:
            return _refusal(414, "The URL is too long.", "url_too_long")
        if not request.target.startswith(b"/"):
            return error_answer(Invalid("The request's target must be a path."))
        if request.operation is not None:
            if request.method != b"POST":
                return _refusal(405, "Use POST.", "method", b"allow: POST\r\n")
            if request.content_length is not None and request.content_length > self._worker.body_limit:
                return self._too_large()
        return None

    def _too_large(self) -> Answer:
        return error_answer(TooLarge(f"The body is larger than {self._worker.body_limit:,} bytes."))

    # From request to answer

    def _start(self, request: Request) -> None:
        """Turn to a request whose head is whole."""
        self._current = request
        if request.refusal is not None:
            self.answer(request.refusal)
            return
        if request.is_expecting and not request.is_complete and self._transport is not None:
            self._transport.write(CONTINUE)
        if request.operation is None and not self._reception.is_local(request.path):
            self._uploading = self._handler = self._reception.forward(self, request)
        elif request.is_complete:
            self._serve(request)

    def _serve(self, request: Request) -> None:
        if request.operation is not None:
            self._handler = self._reception.ask(self, request, request.operation, request.first)
            return
        local = self._reception.local_answer(request)
        if local is None:
            local = error_answer(NotFound(f"There is nothing at {request.path.decode('latin-1')!r}."))
        self.answer(local)

    def _refuse_now(self, answer: Answer) -> None:
        """What came cannot be read on."""
        if self._is_lingering:
            return  # it was answered when its head came, and the rest of it cannot be read either
        self._parsing.refusal = answer
        self._is_closing = True
        is_owed = self._current is self._parsing and self._handler is None  # its body cannot be read
        if self._current is None or is_owed:
            self._current = self._parsing
            self.answer(answer)
        elif self._transport is not None:
            self._transport.close()

    def answer(self, answer: Answer) -> None:
        """Send a whole answer."""
        request = self._current
        if self._transport is None or request is None:
            return
        self._is_closing = self._is_closing or not (request.is_complete and request.keeps_alive)
        self._is_closing = self._is_closing or self._worker.is_draining
        if answer.problem is not None and (dialect := DIALECTS.get(request.operation or Operation.CHAT)) is not None:
            body = dialect.error(answer.status, answer.problem)
            answer = Answer(answer.status, body, answer.content_type, answer.headers)
        data = head(answer.status, answer.content_type, answer.headers, len(answer.body), closes=self._is_closing)
        self._transport.write(data if request.method == b"HEAD" else data + answer.body)
        self._done()

    def begin(self, status: int, content_type: bytes, headers: bytes) -> None:
        """Send the head of a streamed answer; an HTTP/1.0 caller gets it up to the end of the connection."""
        request = self._current
        if self._transport is None or request is None:
            return
        self._is_chunked = not request.is_old
        self._is_closing = self._is_closing or request.is_old or not request.keeps_alive or self._worker.is_draining
        headers += b"cache-control: no-cache\r\n"
        data = head(status, content_type, headers, None, closes=self._is_closing)
        if self._is_chunked and self._is_closing:
            data = data[:-2] + b"transfer-encoding: chunked\r\n\r\n"
        self._transport.write(data)

    def send(self, data: bytes) -> None:
        """Send a piece of a streamed answer."""
        if self._transport is not None:
            self._transport.write(chunk(data) if self._is_chunked else data)

    def end(self, data: bytes) -> None:
        """Send the last piece of a streamed answer."""
        if self._transport is None:
            return
        if self._is_chunked:
            self._transport.write(chunk(data) + LAST_CHUNK if data else LAST_CHUNK)
        elif data:
            self._transport.write(data)
        self._done()

    def relay(self, data: bytes) -> None:
        """Send bytes of an answer that somebody else has framed."""
        if self._transport is not None:
            self._transport.write(data)

    def relayed(self, *, keeps_alive: bool) -> None:
        """The relayed answer is over."""
        request = self._current
        if self._transport is None or request is None:
            return
        self._is_closing = self._is_closing or not (keeps_alive and request.keeps_alive)
        if request.is_complete or self._is_closing:
            self._done()
        else:  # answered before its body was read, and by an answer that lets the caller go on here
            self._handler = self._uploading = Rest(self)

    def read_out(self, *, is_whole: bool) -> None:
        """The rest of a request that was answered before is read, or is too long to be read."""
        request = self._current
        self._is_closing = not is_whole or request is None or not request.keeps_alive
        self._done()

    def peer(self) -> str:
        """The caller's address."""
        name: object = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else ""  # pyright: ignore[reportUnknownArgumentType]  (host, port)

    def abort(self) -> None:
        """Let the caller see that the answer broke off."""
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Take no more bytes for now."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def _done(self) -> None:
        """The answer is handed over: close, or turn to the next request."""
        request, self._current = self._current, None
        self._handler = self._uploading = None
        self._since = self._worker.now()
        self._paused_since = 0.0
        if self._transport is None:
            return
        if not self._is_closing:
            self._transport.resume_reading()
            if self._waiting:
                self._worker.loop.call_soon(self._next)
        elif request is not None and request.is_complete:
            self._transport.close()
        else:
            # Closing at once would reset the connection and take the answer away from a caller who is still sending.
            self._is_lingering = True
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def _next(self) -> None:
        if self._waiting and self._current is None and self._transport is not None:
            self._start(self._waiting.popleft())

    # Time

    def check(self, now: float) -> None:
        """Close what stands idle or is slow on purpose; called a few times a second."""
        if self._transport is None:
            return
        waited = now - self._since
        if self._is_lingering:
            if waited > LINGER_S:
                self._transport.abort()
        elif self._paused_since:
            if now - self._paused_since > SLOW_READER_S:
                self._transport.abort()
        elif self._is_in_head:
            if waited > HEAD_S:
                self._refuse_now(_refusal(408, "The request's head did not come in time.", "timeout"))
        elif self._current is None:
            if waited > KEEP_ALIVE_S or self._worker.is_draining:
                self._transport.close()
        elif not self._current.is_complete and waited > BODY_IDLE_S:
            self._wait_no_more()

    def _wait_no_more(self) -> None:
        """The body does not come: an answer that is still owed says so."""
        if isinstance(self._handler, Rest):
            self.abort()
        elif self._handler is None:
            self._is_closing = True
            self.answer(error_answer(TimedOut("The request's body did not come in time.")))


class Rest:
    """What is left of a request that has its answer: read, so that the next one can come, and not kept."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._left = REST_LIMIT

    def body(self, data: bytes) -> None:
        """A piece of it."""
        self._left -= len(data)
        if self._left < 0:
            self._caller.read_out(is_whole=False)

    def complete(self) -> None:
        """There is no more."""
        self._caller.read_out(is_whole=True)

    def hang_up(self) -> None:
        """Nothing is lost."""

    def pause(self) -> None:
        """Nothing is given."""

    def resume(self) -> None:
        """As before."""


def _refusal(status: int, message: str, code: str, headers: bytes = b"") -> Answer:
    return problem_answer(status, Problem(message, "invalid_request_error", code), headers=headers)


def _no_version() -> Answer:
    return _refusal(505, "Write the version: HTTP/1.1.", "http_version")


def _head_too_large() -> Answer:
    return _refusal(431, "The request's head is too large.", "head_too_large")
