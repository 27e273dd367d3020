"""The least that a relay in Python can do: `python -m benchmarks.gateway.relay --port 9200 --upstream 9100`.

It parses as much of HTTP as it needs to know where a request and an answer end, and passes their bytes on over kept
connections; no key, no route, no limit, no record. The gateway is held against it where a figure has to mean the same
on several machines: both spend their time in the same interpreter, the same event loop and the same parser.
"""

import argparse
import asyncio
from typing import cast

import httptools
import uvloop


class Line(asyncio.Protocol):
    """A connection to the upstream; it serves one request after the other."""

    def __init__(self, relay: "Relay") -> None:
        self._relay = relay
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._caller: Caller | None = None
        self._is_whole = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        if self._caller is not None:
            self._caller.close()

    @property
    def is_open(self) -> bool:
        """Whether it can take another request."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, caller: "Caller", data: bytes) -> None:
        """Ask."""
        self._caller, self._is_whole = caller, False
        if self._transport is not None:
            self._transport.write(data)

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._caller = None
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        caller = self._caller
        if caller is None:
            return
        if self._is_whole:
            self._caller = None
            self._relay.idle.append(self)
        caller.send(data, is_last=self._is_whole)

    def on_message_complete(self) -> None:
        """The parser found the end of the answer."""
        self._is_whole = True


class Caller(asyncio.Protocol):
    """A caller's connection."""

    def __init__(self, relay: "Relay") -> None:
        self._relay = relay
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._line: Line | None = None
        self._is_whole = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        if self._line is not None:
            self._line.abandon()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._parts.append(data)
        if self._is_whole:
            self._is_whole = False
            request, self._parts = b"".join(self._parts), []
            self._relay.ask(self, request)

    def on_message_complete(self) -> None:
        """The parser found the end of the request."""
        self._is_whole = True

    def asked(self, line: Line, request: bytes) -> None:
        """A line is there."""
        if self._transport is None:
            line.abandon()
            return
        self._line = line
        line.send(self, request)

    def send(self, data: bytes, *, is_last: bool) -> None:
        """A piece of the answer."""
        if is_last:
            self._line = None
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """The upstream is gone."""
        if self._transport is not None:
            self._transport.close()


class Relay:
    """The kept lines to one upstream."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.idle: list[Line] = []
        self._dials: set[asyncio.Task[None]] = set()

    def ask(self, caller: Caller, request: bytes) -> None:
        """Send a request over a kept line, or a new one."""
        while self.idle:
            line = self.idle.pop()
            if line.is_open:
                caller.asked(line, request)
                return
        dial = asyncio.get_running_loop().create_task(self._dial(caller, request))
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)

    async def _dial(self, caller: Caller, request: bytes) -> None:
        _, line = await asyncio.get_running_loop().create_connection(lambda: Line(self), "127.0.0.1", self._port)
        caller.asked(line, request)


async def serve(port: int, upstream: int) -> None:
    """Listen for ever."""
    relay = Relay(upstream)
    server = await asyncio.get_running_loop().create_server(lambda: Caller(relay), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, required=True)
    chosen = parser.parse_args()
    uvloop.run(serve(chosen.port, chosen.upstream))
