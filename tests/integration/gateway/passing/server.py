"""A server with endpoints of every kind: it keeps what it was asked, and answers as it is told, piece by piece."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Seen:
    """One request that arrived, as far as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    connection: int
    body: bytes = b""
    is_whole: bool = False

    def header(self, name: str) -> str | None:
        """The only value of a header; None when there is none."""
        values = [value for one, value in self.headers if one == name]
        assert len(values) < 2, values
        return values[0] if values else None


class Exchange:
    """A request to read, and the connection to answer on."""

    def __init__(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen, self.reader, self.writer = seen, reader, writer

    async def read(self) -> bytes:
        """The body, whole."""
        pieces = [piece async for piece in self.pieces()]
        self.seen.body, self.seen.is_whole = b"".join(pieces), True
        return self.seen.body

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        if (self.seen.header("transfer-encoding") or "") == "chunked":
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                yield await self.reader.readexactly(size)
                await self.reader.readline()
            await self.reader.readline()
            return
        left = int(self.seen.header("content-length") or 0)
        while left:
            piece = await self.reader.read(min(left, 65536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece

    async def write(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, status: int = 200, kind: str = "application/json", extra: str = "") -> None:
        """A whole answer."""
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{extra}content-length: {len(body)}\r\n\r\n"
        await self.write(head.encode() + body)

    async def json(self, value: object, status: int = 200, extra: str = "") -> None:
        """A whole answer in JSON."""
        await self.answer(json.dumps(value).encode(), status, extra=extra)

    async def begin(self, kind: str) -> None:
        """The head of an answer in chunks."""
        await self.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        """One chunk; an empty one ends it."""
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))


Behaviour = Callable[[Exchange], Awaitable[None]]


async def echo(exchange: Exchange) -> None:
    """Tell what came."""
    body = await exchange.read()
    await exchange.json({"method": exchange.seen.method, "target": exchange.seen.target, "bytes": len(body)})


@dataclass
class Server:
    """On a thread of its own; behaviours go by the path without the query."""

    behaviours: dict[str, Behaviour] = field(default_factory=dict[str, Behaviour])
    seen: list[Seen] = field(default_factory=list[Seen])
    hang_ups: int = 0
    connections: int = 0
    port: int = 0

    def start(self) -> None:
        """Listen on a free port."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def call_soon(self, step: Callable[[], object]) -> None:
        """Do something on the server's thread."""
        self._loop.call_soon_threadsafe(step)

    def stop(self) -> None:
        """Stop listening."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stopped.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                method, target, _ = lines[0].split(" ")
                pairs = (line.partition(":") for line in lines[1:] if line)
                seen = Seen(method, target, [(name.lower(), value.strip()) for name, _, value in pairs], number)
                self.seen.append(seen)
                behaviour = self.behaviours.get(target.partition("?")[0], echo)
                try:
                    await behaviour(Exchange(seen, reader, writer))
                except (asyncio.IncompleteReadError, ConnectionError):
                    self.hang_ups += 1
                    raise
        writer.close()
