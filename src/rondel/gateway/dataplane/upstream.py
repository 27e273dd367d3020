"""Connections to providers: kept alive, one request at a time on each, no coroutine but while one is being made."""

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from typing import cast

import httptools
import structlog

from rondel.gateway.dataplane.breaking import Breaker
from rondel.gateway.dataplane.ports import Listener
from rondel.gateway.models import Connection
from rondel.gateway.ports import Call, Capability, Provider, Signing
from rondel.gateway.rules import Address

log = structlog.get_logger()

IDLE_S = 30.0
OLDEST_S = 300.0
"""After that a connection is not used again: so changed DNS entries are followed."""
HEAD_LIMIT = 64 * 1024
MOST_MODELS = 4096
"""Models of one endpoint that are remembered."""


class Line:
    """One connection to an endpoint, as `asyncio.Protocol` is told of it.

    The parser only notes what it finds; the listener hears of it after each piece, where a bug of ours can be caught.
    """

    def __init__(self, endpoint: "Endpoint") -> None:
        self._endpoint = endpoint
        self._listener: Listener | None = None
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._content_type = self._retry_after = b""
        self._status = 0
        self._head_size = 0
        self._is_told = self._is_whole = self._has_length = False
        self._is_reused = self._is_paused = self._keeps_alive = False
        self.made_at = self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it can take another request."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, listener: Listener, request: bytes) -> None:
        """Ask; the answer goes to `listener`."""
        self._listener = listener
        self._content_type = self._retry_after = b""
        self._status = self._head_size = 0
        self._is_told = self._is_whole = self._has_length = False
        if self._transport:
            self._transport.write(request)

    def pause(self) -> None:
        """Read no more for now: the caller is slower."""
        if self._transport and self._listener:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport and self._listener:
            self._is_paused = False
            self._transport.resume_reading()

    def abandon(self) -> None:
        """Nobody waits any more: the upstream sees the connection close."""
        self._listener = None
        if self._transport:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        listener = self._listener
        if listener is None:
            self.abandon()
            return
        if not self._status:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._is_whole:
                self._fail(f"answered with something that is not HTTP: {error}")
                return
            self._keeps_alive = False  # it came behind the answer, which counts
        if not self._status:
            if self._head_size > HEAD_LIMIT:
                self._fail(f"answered with a head of more than {HEAD_LIMIT:,} bytes")
            return
        _take(listener, self._tell)

    def eof_received(self) -> bool:
        """It sends no more: the connection is closed."""
        return False

    def pause_writing(self) -> None:
        """Requests are small beside what a socket holds: nothing waits."""

    def resume_writing(self) -> None:
        """As before."""

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: the end of an answer without a length, else a failure."""
        listener = self._listener
        if listener is None:
            return
        if self._status and exc is None and not self._has_length:
            self._listener = None
            _take(listener, listener.on_end)
            return
        began = self._status or self._head_size
        self._fail(
            f"closed the connection {'in the middle of' if began else 'before'} its answer",
            is_stale=self._is_reused and not began,
        )

    def on_message_begin(self) -> None:
        """The parser found an answer; a second one is to no request of ours, and nothing more is asked here."""
        if self._is_whole:
            self._keeps_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser found a header."""
        size = len(name)
        if size == 12:
            if name.lower() == b"content-type":
                self._content_type = value
        elif size in _SIZES:
            name = name.lower()
            if name == b"retry-after":
                self._retry_after = value
            elif name in {b"content-length", b"transfer-encoding"}:
                self._has_length = True

    def on_headers_complete(self) -> None:
        """The parser found the end of the head."""
        status = self._parser.get_status_code()
        if self._is_whole:
            self._keeps_alive = False  # bytes that nobody asked for
        elif status >= 200:
            self._status = status
        else:
            self._content_type = self._retry_after = b""
            self._has_length = False

    def on_body(self, body: bytes) -> None:
        """The parser found a piece of the body."""
        if not self._is_whole:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """The parser found the end of the answer."""
        if self._status and not self._is_whole:
            self._is_whole = True
            self._keeps_alive = self._parser.should_keep_alive()

    def _tell(self) -> None:
        """Hand on what the parser found."""
        listener = self._listener
        if not self._is_told and listener is not None:
            self._is_told = True
            listener.on_head(self._status, self._content_type, self._retry_after)
            listener = self._listener
        parts = self._parts
        if parts and listener is not None:
            self._parts = []
            listener.on_data(parts[0] if len(parts) == 1 else b"".join(parts))
            listener = self._listener
        if self._is_whole and listener is not None and self._transport is not None:
            self._listener = None
            if self._is_paused:
                self._is_paused = False
                self._transport.resume_reading()
            if self._keeps_alive:
                self._is_reused = True
                self._endpoint.keep(self)
            else:
                self._transport.close()
            listener.on_end()

    def _fail(self, reason: str, *, is_stale: bool = False) -> None:
        listener = self._listener
        self.abandon()
        if listener is not None:
            _take(listener, lambda: listener.on_failure(reason, is_stale=is_stale))


_SIZES = frozenset({len("retry-after"), len("content-length"), len("transfer-encoding")})


def _take(listener: Listener, step: Callable[[], None]) -> None:
    """An edge: whatever a step raises is a bug; it is logged, and the caller gets a 500 instead of silence."""
    try:
        step()
    except Exception:
        log.exception("a request failed inside the gateway")
        listener.crash()


class Dial:
    """A connection that is being made for a request."""

    def __init__(self, endpoint: "Endpoint", listener: Listener, request: bytes) -> None:
        self._listener: Listener | None = listener
        self._line: Line | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(endpoint, request))

    @property
    def is_connected(self) -> bool:
        """Whether the request is on its way."""
        return self._line is not None

    def pause(self) -> None:
        """As `Line.pause`."""
        if self._line:
            self._line.pause()

    def resume(self) -> None:
        """As `Line.resume`."""
        if self._line:
            self._line.resume()

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._listener = None
        if self._line:
            self._line.abandon()
        else:
            self._task.cancel()

    async def _run(self, endpoint: "Endpoint", request: bytes) -> None:
        try:
            line = await endpoint.connect()
        except (OSError, ssl.SSLError) as error:
            listener, self._listener = self._listener, None
            if listener is not None:
                reason = f"cannot be reached: {error.strerror or error}"
                _take(listener, lambda: listener.on_failure(reason, is_stale=False))
            return
        if self._listener is None:
            line.abandon()
            return
        self._line = line
        self._begin(line, self._listener, request)

    def _begin(self, line: Line, listener: Listener, request: bytes) -> None:
        line.send(listener, request)


class Endpoint:
    """Where one connection of the snapshot leads: its provider, its kept lines, and the health of its models."""

    def __init__(
        self,
        connection: Connection,
        provider: Provider,
        address: Address,
        secret: str,
        clock: Callable[[], float],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.connection, self.provider, self.address = connection, provider, address
        self.secret = secret
        self.breakers: dict[str, Breaker] = {}
        self.beside: Endpoint | None = None
        """The lines of another kind to the same place, if there are any: they are trimmed and closed with these."""
        self._clock = clock
        self._idle: list[Line] = []
        self._is_closed = False
        self.tls = tls or (ssl.create_default_context() if address.is_tls else None)
        static = [("host", address.authority), ("content-type", "application/json"), ("accept-encoding", "identity")]
        static += [*provider.headers(secret), *connection.headers.items()]
        self._static = "".join(f"{name}: {value}\r\n" for name, value in static).encode("latin-1")
        self._heads: dict[str, bytes] = {}
        self._fixed = frozenset(name.lower() for name in connection.headers)
        is_signed = Capability.SIGNED in provider.capabilities
        self._signing = cast("Signing", provider) if is_signed else None

    def breaker(self, model: str) -> Breaker:
        """The health of one model here."""
        found = self.breakers.get(model)
        if found is None:
            if len(self.breakers) >= MOST_MODELS:  # names are the callers' to choose
                self.breakers = {name: one for name, one in self.breakers.items() if one.open or one.is_resting}
            found = self.breakers[model] = Breaker()
        return found

    def signature(self, call: Call, body: bytes, at_s: float) -> bytes:
        """Lines of the head that sign a request, `at_s` seconds since the epoch; none where none are signed.

        Raises:
            Unavailable: the secret is not what it needs.
        """
        if self._signing is None:
            return b""
        target = f"{self.address.path}{self.provider.path(call)}"
        signed = self._signing.signature(target, self.address.authority, body, self.secret, at_s)
        return "".join(f"{name}: {value}\r\n" for name, value in signed).encode("latin-1")

    def head(self, call: Call, passed: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
        """The request's head but for the lines that are each request's own. Headers that are `passed` from the caller
        stand in the place of the provider's, and not of the connection's.
        """
        head = self._head(call)
        for name, value in passed:
            if name.decode("latin-1") not in self._fixed:
                line = re.compile(rb"(?m)^" + re.escape(name) + rb": [^\r]*\r\n")
                head = line.sub(b"", head) + b"%b: %b\r\n" % (name, value)
        return head

    def _head(self, call: Call) -> bytes:
        path = self.provider.path(call)
        head = self._heads.get(path)
        if head is None:
            if len(self._heads) >= MOST_MODELS:
                self._heads.clear()
            target = f"{self.address.path}{path}"
            head = self._heads[path] = f"POST {target} HTTP/1.1\r\n".encode("latin-1") + self._static
        return head

    def send(self, listener: Listener, request: bytes) -> Line | Dial:
        """Ask on a kept line, or on a new one."""
        line = self.kept(IDLE_S)
        if line is not None:
            line.send(listener, request)
            return line
        return Dial(self, listener, request)

    def kept(self, idle_s: float) -> Line | None:
        """A line that has been idle for less than that, if there is one."""
        now = self._clock()
        while self._idle:
            line = self._idle.pop()
            if line.is_open and now - line.idle_since < idle_s and now - line.made_at < OLDEST_S:
                return line
            line.abandon()
        return None

    def make(self) -> Line:
        """A line that is not connected yet."""
        return Line(self)

    async def connect(self) -> Line:
        """A new line."""
        loop = asyncio.get_running_loop()
        host = self.address.host if self.tls else None
        factory = cast("Callable[[], asyncio.Protocol]", self.make)  # it has all of its methods
        _, made = await loop.create_connection(
            factory, self.address.host, self.address.port, ssl=self.tls, server_hostname=host
        )
        line = cast("Line", made)
        line.made_at = self._clock()
        return line

    def keep(self, line: Line) -> None:
        """A line is free again."""
        if self._is_closed:
            line.abandon()
            return
        line.idle_since = self._clock()
        self._idle.append(line)

    def trim(self) -> None:
        """Close lines that nobody used for a while."""
        now = self._clock()
        kept: list[Line] = []
        for line in self._idle:
            if line.is_open and now - line.idle_since < IDLE_S:
                kept.append(line)
            else:
                line.abandon()
        self._idle = kept
        if self.beside is not None:
            self.beside.trim()

    def close(self) -> None:
        """Close all kept lines; requests under way end by themselves, and their lines with them."""
        self._is_closed = True
        for line in self._idle:
            line.abandon()
        self._idle = []
        if self.beside is not None:
            self.beside.close()
