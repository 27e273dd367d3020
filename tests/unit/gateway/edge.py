"""The HTTP edge without a network: a caller's connection over a transport that only keeps what is written, and a second
reader of HTTP, strict and simple, that says what a request is."""

import asyncio
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from rondel.gateway.dataplane.asking import Entry
from rondel.gateway.dataplane.caller import Caller
from rondel.gateway.dataplane.heads import Heads
from rondel.gateway.dataplane.wire import Answer
from rondel.gateway.models import Operation

BODY_LIMIT = 100_000
CHAT = b"/v1/chat/completions"


ENTRY = cast("Entry", SimpleNamespace(key=SimpleNamespace(expires_at_ns=None), parent=None))


class Transport(asyncio.Transport):
    """Keeps what is written; what is written after the end is a fault of whoever writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_closed = self.is_ended = self.is_paused = False

    def write(self, data: Any) -> None:
        if not self.is_closed:
            assert not self.is_ended, "written after the end"
            self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_ended = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default


class Asked(NamedTuple):
    """A request for a model that came through."""

    operation: Operation
    body: bytes


class Pending:
    """An answer that comes later, unless the caller is gone by then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: Callable[[], None]) -> None:
        self._timer = loop.call_soon(answer)

    def hang_up(self) -> None:
        self._timer.cancel()

    def body(self, data: bytes) -> None:
        """It is not looked at."""

    def complete(self) -> None:
        """As before."""

    def pause(self) -> None:
        """Nothing is on its way."""

    def resume(self) -> None:
        """As before."""


class Inside:
    """What stands behind the edge: every request for a model is answered by telling its body's length.

    `later` says whether the n-th answer comes at once, in a later turn of the loop, or in pieces.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, later: Callable[[int], str]) -> None:
        self.worker, self.loop, self._later = self, loop, later
        self.callers: set[object] = set()
        self.body_limit = BODY_LIMIT
        self.is_draining = False
        self.server_socket = Path("/nonexistent/server.sock")
        self.asked: list[Asked] = []
        self.heads = Heads()

    def now_ns(self) -> int:
        return 0

    def now(self) -> float:
        return 0.0

    def left(self, caller: object) -> None:
        self.callers.discard(caller)

    def is_local(self, asked: object) -> bool:
        return _path(asked) in {b"/livez", b"/readyz", b"/metrics", b"/v1/models"}

    def local_answer(self, asked: object) -> Answer | None:
        return Answer(200, b'{"status":"ok"}') if self.is_local(asked) else None

    def forward(self, caller: Caller, _request: object) -> Pending:
        return Pending(self.loop, lambda: caller.answer(Answer(503, b"{}")))

    def ask(self, reply: Caller, request: Any, operation: Operation, first: bytes) -> Pending | None:
        self.heads.learn(first, request, operation, ENTRY)
        return self.admit(reply, ENTRY, operation, request.whole_body())

    def admit(self, reply: Caller, _entry: Entry, operation: Operation, body: bytes) -> Pending | None:
        self.asked.append(Asked(operation, bytes(body)))
        answer = b"%d bytes, number %d" % (len(body), len(self.asked))
        match self._later(len(self.asked)):
            case "now":
                reply.answer(Answer(200, answer))
                return None
            case "later":
                return Pending(self.loop, lambda: reply.answer(Answer(200, answer)))
            case _:
                return Pending(self.loop, lambda: _stream(reply, answer))


def _stream(caller: Caller, answer: bytes) -> None:
    caller.begin(200, b"text/event-stream", b"")
    caller.send(answer[:3])
    caller.end(answer[3:])


def _path(asked: object) -> bytes:
    return asked if isinstance(asked, bytes) else cast("Any", asked).path


class Edge:
    """One connection, driven piece by piece."""

    def __init__(self, later: Callable[[int], str] = lambda _: "now") -> None:
        self.loop = asyncio.new_event_loop()
        self.inside = Inside(self.loop, later)
        self.transport = Transport()
        self.caller = Caller(cast("Any", self.inside))
        self.caller.connection_made(self.transport)

    def send(self, data: bytes, *cuts: int) -> None:
        """Send `data`, cut at these places; the loop turns after each piece."""
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        for begin, end in pairwise(places):
            if self.is_over:
                return
            self.caller.data_received(data[begin:end])
            self.turn()

    def turn(self) -> None:
        """Let the loop do what is due."""
        for _ in range(24):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def close(self) -> None:
        """The caller goes."""
        self.caller.connection_lost(None)
        self.turn()
        self.loop.close()

    @property
    def is_over(self) -> bool:
        """Whether the connection takes no further request."""
        return self.transport.is_closed or self.transport.is_ended

    @property
    def statuses(self) -> list[int]:
        """Of every final answer that was sent; what is no answer is a fault."""
        return [status for status in answers(bytes(self.transport.written)) if status >= 200]


def answers(data: bytes) -> list[int]:
    """The statuses of a run of whole answers, each with a length or in chunks.

    Raises:
        AssertionError: it is something else.
    """
    found: list[int] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        line = re.fullmatch(rb"HTTP/1\.1 (\d{3}) .*", head.split(b"\r\n")[0])
        assert end, head
        assert line, head
        found.append(int(line[1]))
        if found[-1] < 200:
            continue
        length = re.search(rb"(?im)^content-length: (\d+)\r?$", head)
        if length:
            assert len(data) >= int(length[1]), "cut short"
            data = data[int(length[1]) :]
        elif b"transfer-encoding: chunked" in head:
            data = _after_chunks(data)
        else:
            assert b"connection: close" in head
            return found
    return found


def _after_chunks(data: bytes) -> bytes:
    while True:
        size, _, data = data.partition(b"\r\n")
        data = data[int(size, 16) + 2 :]
        if int(size, 16) == 0:
            return data


# What a request is


class Read(NamedTuple):
    """One request as the strict reader sees it."""

    method: bytes
    target: bytes
    body: bytes


_LINE = re.compile(rb"([A-Z]+) +([!-~]+) +HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[^\r\n\x00]*)?")


def strictly(data: bytes) -> list[Read]:
    """The requests at the beginning of `data`, up to the first that is not whole or not beyond doubt.

    Empty lines before a request do not count. Lines end with CRLF, no field is folded, there is one length or one
    `chunked` and never both.
    Source: RFC 9112, sections 2.2, 3, 5, 6, 7.
    """
    found: list[Read] = []
    while True:
        data = data.lstrip(b"\r\n")
        head, end, rest = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        start, fields = _LINE.fullmatch(lines[0]), [_FIELD.fullmatch(line) for line in lines[1:]]
        if not end or not start or not all(fields) or b"\n" in head.replace(b"\r\n", b""):
            return found
        named = [(field[1].lower(), field[2].strip(b" \t")) for field in fields if field]
        lengths = [value for name, value in named if name == b"content-length"]
        codings = [value.lower() for name, value in named if name == b"transfer-encoding"]
        if (lengths and codings) or len(lengths) > 1 or codings not in ([], [b"chunked"]):
            return found
        if codings:
            body = _chunked(rest)
            if body is None:
                return found
            content, data = body
        else:
            if lengths and not re.fullmatch(rb"[0-9]{1,12}", lengths[0]):
                return found
            length = int(lengths[0]) if lengths else 0
            if len(rest) < length:
                return found
            content, data = rest[:length], rest[length:]
        found.append(Read(start[1], start[2], content))


def _chunked(data: bytes) -> tuple[bytes, bytes] | None:
    content = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        size = _SIZE.fullmatch(line)
        if not end or not size:
            return None
        length = int(size[1], 16)
        if length == 0:
            break
        if data[length : length + 2] != b"\r\n":
            return None
        content, data = content + data[:length], data[length + 2 :]
    while True:  # trailers
        line, end, data = data.partition(b"\r\n")
        if not end or (line and not _FIELD.fullmatch(line)):
            return None
        if not line:
            return content, data
