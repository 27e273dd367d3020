"""A model server that behaves as it is told, well or badly; every model name may have a behaviour of its own."""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        return json.loads(self.body)

    @property
    def prompt(self) -> str:
        """The last message's text."""
        return self.json["messages"][-1]["content"]


class Line:
    """The connection to answer on."""

    def __init__(self, upstream: "Upstream", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.upstream, self.reader, self.writer = upstream, reader, writer

    async def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """A whole JSON answer."""
        await self.whole(json.dumps(value).encode(), status, headers)

    async def whole(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """A whole answer."""
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        kind = "" if headers and "content-type" in headers else "content-type: application/json\r\n"
        await self.write(f"HTTP/1.1 {status} X\r\n{kind}{extra}content-length: {len(body)}\r\n\r\n".encode() + body)

    async def begin(self) -> None:
        """The head of a stream."""
        await self.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        )

    async def piece(self, data: bytes) -> None:
        """A piece of a stream's body."""
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, value: object) -> None:
        """One event."""
        await self.piece(b"data: " + json.dumps(value).encode() + b"\n\n")

    async def finish(self, *, done: bool = True) -> None:
        """The end of a stream."""
        if done:
            await self.piece(b"data: [DONE]\n\n")
        await self.write(b"0\r\n\r\n")


Behaviour = Callable[[Seen, Line], Awaitable[None]]

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def completion(text: str, **more: object) -> dict[str, Any]:
    """A whole chat answer."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "up-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
        **more,
    }


def chunk(delta: Mapping[str, Any], finish: str | None = None, index: int = 0, **more: object) -> dict[str, Any]:
    """One piece of a streamed chat answer."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "up-1",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
        **more,
    }


def usage_chunk() -> dict[str, Any]:
    """The piece that tells the usage."""
    return {**chunk({}), "choices": [], "usage": USAGE}


async def echo(seen: Seen, line: Line) -> None:
    """Say the prompt again, streamed word by word if asked so."""
    if seen.path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        await line.json({"object": "list", "model": "up-1", "data": data, "usage": usage})
        return
    if seen.path.endswith("/chat/completions"):
        await say(f"echo: {seen.prompt}")(seen, line)
        return
    choice = {"index": 0, "text": f"echo: {seen.json['prompt']}", "finish_reason": "stop", "logprobs": None}
    await line.json({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "up-1", "choices": [choice]})


def say(text: str, *, interval_s: float = 0.0, begins_s: float = 0.0) -> Behaviour:
    """Answer with `text` after a while, streamed word by word if asked so."""

    async def answer(seen: Seen, line: Line) -> None:
        await asyncio.sleep(begins_s)
        if not seen.json.get("stream"):
            await line.json(completion(text))
            return
        await line.begin()
        await line.event(chunk({"role": "assistant", "content": ""}))
        words = text.split(" ")
        for position, word in enumerate(words):
            await asyncio.sleep(interval_s)
            await line.event(chunk({"content": word if position == 0 else f" {word}"}))
            line.upstream.pieces += 1
        await line.event(chunk({}, "stop"))
        if seen.json.get("stream_options") == {"include_usage": True}:
            await line.event(usage_chunk())
        await line.finish()

    return answer


def fail(
    status: int, *, times: int = 10**6, headers: dict[str, str] | None = None, body: bytes | None = None
) -> Behaviour:
    """Fail `times` times, then echo."""
    left = [times]

    async def answer(seen: Seen, line: Line) -> None:
        if left[0] <= 0:
            await echo(seen, line)
            return
        left[0] -= 1
        error = {"error": {"message": f"no {status}", "type": "server_error", "param": None, "code": "sorry"}}
        await line.whole(json.dumps(error).encode() if body is None else body, status, headers)

    return answer


def raw(data: bytes, *, closes: bool = True) -> Behaviour:
    """Send bytes, then close."""

    async def answer(seen: Seen, line: Line) -> None:  # noqa: ARG001  a behaviour's signature
        await line.write(data)
        if closes:
            line.writer.close()

    return answer


@dataclass
class Upstream:
    """The server, on a thread of its own."""

    behaviours: dict[str, Behaviour] = field(default_factory=dict[str, Behaviour])
    seen: list[Seen] = field(default_factory=list[Seen])
    pieces: int = 0
    hang_ups: int = 0
    connections: int = 0
    port: int = 0

    def on(self, model: str, behaviour: Behaviour) -> None:
        """Give a model a behaviour."""
        self.behaviours[model] = behaviour

    def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port."""
        self._tls = tls
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        """Stop listening."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def call_soon(self, step: Callable[[], object]) -> None:
        """Do something on the server's thread."""
        self._loop.call_soon_threadsafe(step)

    def wait_for(self, claim: Callable[[], bool], seconds: float = 5.0) -> bool:
        """Whether `claim` becomes true in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if claim():
                return True
            time.sleep(0.01)
        return claim()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stopped.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        answering: asyncio.Task[None] | None = None
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                seen = Seen(lines[0].split(" ")[1], headers, body, number)
                self.seen.append(seen)
                behaviour = self.behaviours.get(seen.json.get("model", ""), echo)
                answering = asyncio.ensure_future(behaviour(seen, Line(self, reader, writer)))
                gone = asyncio.ensure_future(reader.readexactly(1))  # the client sends nothing before it has its answer
                await asyncio.wait([answering, gone], return_when=asyncio.FIRST_COMPLETED)
                if gone.done() and not answering.done():
                    self.hang_ups += 1
                    answering.cancel()
                    await asyncio.gather(gone, return_exceptions=True)
                    return
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
                answering.result()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            if answering is not None and not answering.done():
                answering.cancel()
            writer.close()
