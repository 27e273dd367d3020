"""What is not for a model goes to the server, byte for byte and with back-pressure both ways."""

import asyncio
from typing import cast
from urllib.parse import unquote_to_bytes

import httptools

from rondel.gateway.dataplane.ports import Relayed
from rondel.gateway.dataplane.request import Request
from rondel.gateway.dataplane.wire import Answer, chunk, error_data, retry_after
from rondel.gateway.dataplane.worker import Worker

BUFFER_LIMIT = 256 * 1024
CONNECT_S = 2.0
_OWN = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    }
)
"""Headers of this connection (RFC 9110, 7.6.1), and those that only we may write."""

_PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Rondel</title>
<meta name="viewport" content="width=device-width"><style>body{font:16px/1.5 system-ui;max-width:36rem;margin:4rem auto;
padding:0 1rem;color-scheme:light dark}</style><h1>The console is not running</h1><p>The gateway works: model calls are
answered and their records are kept. The server that shows this page does not answer; it may be starting.
<p>Look at <code>rondel status</code>, start it with <code>rondel up</code>, then reload.</html>
"""


def is_internal(path: bytes) -> bool:
    """Whether a path is for our own processes: such a one is never forwarded, however it is written."""
    plain, before = path, b""
    while plain != before:
        before, plain = plain, unquote_to_bytes(plain)
    names = [name for name in plain.replace(b"\\", b"/").lower().split(b"/") if name not in {b"", b"."}]
    return b"internal" in names[:1] or b".." in names


def unavailable(request: Request) -> Answer:
    """What the gateway says while the server does not answer."""
    later = retry_after(2)
    if request.path.startswith((b"/v1/", b"/api/")):
        message = "The server does not answer; it may be starting. Model calls go on. Try again in 2 s."
        return Answer(503, error_data(message, kind="server_error", code="unavailable"), headers=later)
    return Answer(503, _PAGE, b"text/html; charset=utf-8", headers=later)


class Forward(asyncio.Protocol):
    """One request on its way to the server's Unix socket, and its answer on the way back."""

    def __init__(self, worker: Worker, caller: Relayed, request: Request) -> None:
        self._worker, self._caller, self._request = worker, caller, request
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._held: list[bytes] = []
        self._held_size = 0
        self._has_begun = self._is_whole = self._is_over = self._has_length = False
        self._is_uploaded = request.is_complete
        self._keeps_alive = request.method == b"HEAD"
        for part in request.parts:
            self._hold(part)
        request.parts = []
        self._task = worker.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._worker.loop.create_unix_connection(lambda: self, str(self._worker.server_socket))
        except (OSError, TimeoutError):
            if not self._is_over:
                self._is_over = True
                self._caller.answer(unavailable(self._request))

    # The caller's side

    def body(self, data: bytes) -> None:
        """A piece of the request's body."""
        if self._transport is None:
            self._hold(data)
            if self._held_size > BUFFER_LIMIT:
                self._caller.pause_reading()
        elif not self._is_over:
            self._transport.write(chunk(data) if self._request.is_chunked else data)

    def complete(self) -> None:
        """The request is whole."""
        self._is_uploaded = True
        if self._transport is not None and self._request.is_chunked and not self._is_over:
            self._transport.write(b"0\r\n\r\n")

    def hang_up(self) -> None:
        """The caller is gone."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()
        else:
            self._task.cancel()

    def pause(self) -> None:
        """The caller is slow."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """The caller has caught up."""
        if self._transport is not None:
            self._transport.resume_reading()

    def _hold(self, data: bytes) -> None:
        self._held.append(chunk(data) if self._request.is_chunked else data)
        self._held_size += len(data)

    # The server's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server is there: send what we have."""
        self._transport = cast("asyncio.Transport", transport)
        if self._is_over:
            self._transport.abort()
            return
        last = b"0\r\n\r\n" if self._is_uploaded and self._request.is_chunked else b""
        self._transport.write(b"".join([self._head(), *self._held, last]))
        self._held = []
        self._caller.resume_reading()

    def pause_writing(self) -> None:
        """The server is slow."""
        self._caller.pause_reading()

    def resume_writing(self) -> None:
        """The server has caught up."""
        self._caller.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer."""
        if self._is_over or self._transport is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break_off()
            return
        self._has_begun = True
        self._caller.relay(data)
        if self._is_whole:
            self._is_over = True
            self._transport.close()
            self._caller.relayed(keeps_alive=self._keeps_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed: the end of an answer without a length, else a failure."""
        if self._is_over:
            return
        self._is_over = True
        if not self._has_begun:
            self._caller.answer(unavailable(self._request))
        elif exc is None and not self._has_length:
            self._caller.relayed(keeps_alive=False)
        else:
            self._caller.abort()

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002  the parser's signature
        """A header of the answer."""
        if name.lower() in {b"content-length", b"transfer-encoding"}:
            self._has_length = True

    def on_headers_complete(self) -> None:
        """The answer's head is whole; an answer to HEAD has nothing else."""
        if self._request.method == b"HEAD" and self._parser.get_status_code() >= 200:
            self._is_whole = True

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._parser.get_status_code() >= 200:
            self._is_whole = True
            self._keeps_alive = self._parser.should_keep_alive()

    def _break_off(self) -> None:
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()
        if self._has_begun:
            self._caller.abort()
        else:
            self._caller.answer(unavailable(self._request))

    def _head(self) -> bytes:
        request = self._request
        named = {
            token.strip().lower()
            for name, value in request.headers
            if name.lower() == b"connection"
            for token in value.split(b",")
        }
        parts = [b"%b %b HTTP/%b\r\n" % (request.method, request.target, b"1.0" if request.is_old else b"1.1")]
        parts += [
            b"%b: %b\r\n" % (name, value)
            for name, value in request.headers
            if (lower := name.lower()) not in _OWN and lower not in named
        ]
        if request.is_chunked:
            parts.append(b"transfer-encoding: chunked\r\n")
        elif request.content_length is not None:
            parts.append(b"content-length: %d\r\n" % request.content_length)
        parts.append(b"x-forwarded-for: %b\r\nx-forwarded-proto: http\r\n\r\n" % self._caller.peer().encode())
        return b"".join(parts)
