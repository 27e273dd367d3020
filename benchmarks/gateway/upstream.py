"""A fast fake model server: `python -m benchmarks.gateway.upstream --port 9100`.

It is steered from inside the prompt, so it works through any gateway: `@mock words=8` for an answer, `@mock chunks=50
interval_ms=20` for a stream. Each streamed piece's text is the sender's CLOCK_MONOTONIC (`t=123…`), so a client on the
same machine can tell how long it was under way.
"""

import argparse
import asyncio
import json
import re
import time
from typing import Any, cast

import uvloop

OPTION = re.compile(rb"@mock([a-z_=0-9 ]+)")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def respond(body: bytes) -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def completion(words: int) -> bytes:
    """A chat answer of so many words."""
    message = {"role": "assistant", "content": " ".join(["token"] * words), "refusal": None}
    usage = {"prompt_tokens": 20, "completion_tokens": words, "total_tokens": 20 + words}
    choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    head = {"id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000, "model": "mock"}
    return respond(json.dumps({**head, "choices": choices, "usage": usage}).encode())


def event(delta: dict[str, Any], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    """One event of a stream."""
    head: dict[str, Any] = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1, "model": "mock"}
    head["choices"] = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps(head | ({"usage": usage} if usage else {})).encode() + b"\n\n"


def framed(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
) + framed(event({"role": "assistant", "content": ""}))
BEFORE, AFTER = event({"content": "@@"}).split(b"@@")


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None
        self._answers: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._writable.set()
        for task in self._tasks:
            task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self._buffer, 0, end + 2)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < size:
                return
            head, body, self._buffer = self._buffer[:end], self._buffer[end + 4 : size], self._buffer[size:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if self._transport is None:
            return
        if head.startswith(b"GET"):
            self._transport.write(respond(b'{"object":"list","data":[]}'))
            return
        found = OPTION.search(body)
        options = dict(pair.split("=") for pair in found[1].decode().split() if "=" in pair) if found else {}
        if b'"stream":true' in body or b'"stream": true' in body:
            interval_s = float(options.get("interval_ms", 0)) / 1e3
            stream = self._stream(int(options.get("chunks", 50)), interval_s, tells_usage=b'"include_usage"' in body)
            task = asyncio.get_running_loop().create_task(stream)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            words = int(options.get("words", 8))
            self._transport.write(self._answers.get(words) or self._answers.setdefault(words, completion(words)))

    async def _stream(self, chunks: int, interval_s: float, *, tells_usage: bool) -> None:
        if self._transport is None:
            return
        write, due = self._transport.write, time.monotonic()
        write(STREAM_HEAD)
        for _ in range(chunks):
            due += interval_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))  # no interval: one piece a turn of the loop
            await self._writable.wait()
            write(framed(b"%bt=%d %b" % (BEFORE, time.monotonic_ns(), AFTER)))
        usage = {"prompt_tokens": 20, "completion_tokens": chunks, "total_tokens": 20 + chunks}
        last = framed(event({}, usage=usage)) if tells_usage else b""
        write(framed(event({}, "stop")) + last + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")


async def serve(port: int) -> None:
    """Listen for ever."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    uvloop.run(serve(parser.parse_args().port))
