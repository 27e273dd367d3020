"""A fast fake model server: `python -m benchmarks.gateway.upstream --port 9100`.

It speaks OpenAI's chat completions and, at a path that ends in `/messages`, Anthropic's messages; over TLS as well
where it is given a port and a certificate for that. It is steered from inside the prompt, so it works through any
gateway: `@mock words=8` for an answer, `@mock chunks=50 interval_ms=20` for a stream, `personal=1` for e-mail addresses
in it. Each streamed piece's text begins with the sender's CLOCK_MONOTONIC, its digits written as letters (`t=bcaj…z`,
so that they are no personal data), and a client on the same machine can tell how long it was under way.
"""

import argparse
import asyncio
import json
import re
import ssl
import time
from pathlib import Path
from typing import Any, NamedTuple, cast

import uvloop

OPTION = re.compile(rb"@mock([a-z_=0-9 ]+)")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
LETTERS = bytes.maketrans(b"0123456789", b"abcdefghij")
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
HEAD = SSE + b"transfer-encoding: chunked\r\n\r\n"
EVERY = 8
"""One piece of so many, and the next one, hold the halves of an e-mail address."""


def respond(body: bytes) -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def framed(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chat_answer(words: int) -> bytes:
    """A chat answer of so many words."""
    message = {"role": "assistant", "content": " ".join(["token"] * words), "refusal": None}
    usage = {"prompt_tokens": 20, "completion_tokens": words, "total_tokens": 20 + words}
    choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    head = {"id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000, "model": "mock"}
    return respond(json.dumps({**head, "choices": choices, "usage": usage}).encode())


def message_answer(words: int) -> bytes:
    """An answer of the Messages API."""
    return respond(json.dumps(_message(" ".join(["token"] * words), words)).encode())


def _message(text: str, words: int) -> dict[str, Any]:
    content = [{"type": "text", "text": text}] if text else []
    usage = {"input_tokens": 20, "output_tokens": words}
    told = {"id": "msg_mock", "type": "message", "role": "assistant", "model": "mock", "content": content}
    return {**told, "stop_reason": "end_turn" if text else None, "stop_sequence": None, "usage": usage}


def chunk(delta: dict[str, Any], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    """One event of a chat stream."""
    head: dict[str, Any] = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1, "model": "mock"}
    head["choices"] = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps(head | ({"usage": usage} if usage else {})).encode() + b"\n\n"


def event(kind: str, **more: Any) -> bytes:
    """One event of a stream of the Messages API."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())


class Stream(NamedTuple):
    """What stands around the text of a stream: before all, before and after each piece, and behind all."""

    first: bytes
    before: bytes
    after: bytes
    last: bytes


def chat_stream(pieces: int, *, tells_usage: bool) -> Stream:
    """Of chat completions."""
    before, after = chunk({"content": "@@"}).split(b"@@")
    usage = {"prompt_tokens": 20, "completion_tokens": pieces, "total_tokens": 20 + pieces}
    told = framed(chunk({}, usage=usage)) if tells_usage else b""
    last = framed(chunk({}, "stop")) + told + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return Stream(HEAD + framed(chunk({"role": "assistant", "content": ""})), before, after, last)


def message_stream(pieces: int) -> Stream:
    """Of messages."""
    first = event("message_start", message=_message("", 1))
    first += event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    piece = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "@@"})
    before, after = piece.split(b"@@")
    last = event("content_block_stop", index=0)
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    last += event("message_delta", delta=delta, usage={"output_tokens": pieces}) + event("message_stop")
    return Stream(HEAD + framed(first), before, after, framed(last) + b"0\r\n\r\n")


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None
        self._answers: dict[tuple[int, bool], bytes] = {}

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
            if not found and b"chunked" in self._buffer[:end].lower():  # so some clients send a body
                if not self._buffer.endswith(b"0\r\n\r\n"):
                    return
                size = len(self._buffer)
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
        is_message = head.partition(b"\r\n")[0].split(b" ")[1].endswith(b"/messages")
        if b'"stream":true' in body or b'"stream": true' in body:
            task = asyncio.get_running_loop().create_task(
                self._stream(options, is_message=is_message, tells_usage=b'"include_usage"' in body)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            words = int(options.get("words", 8))
            known = self._answers.get((words, is_message))
            if known is None:
                known = message_answer(words) if is_message else chat_answer(words)
                self._answers[words, is_message] = known
            self._transport.write(known)

    async def _stream(self, options: dict[str, str], *, is_message: bool, tells_usage: bool) -> None:
        if self._transport is None:
            return
        count, interval_s = int(options.get("chunks", 50)), float(options.get("interval_ms", 0)) / 1e3
        is_personal = options.get("personal") == "1"
        form = message_stream(count) if is_message else chat_stream(count, tells_usage=tells_usage)
        write, due = self._transport.write, time.monotonic()
        write(form.first)
        for number in range(count):
            due += interval_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))  # no interval: one piece a turn of the loop
            await self._writable.wait()
            text = b"t=%bz " % str(time.monotonic_ns()).encode().translate(LETTERS)
            if is_personal:
                text = _with_address(text, number)
            write(framed(b"%b%b%b" % (form.before, text, form.after)))
        write(form.last)


def _with_address(text: bytes, number: int) -> bytes:
    """The halves of an address at the end of one piece and at the beginning of the next."""
    if number % EVERY == 0:
        return text + b"write to ann.lee"
    return b"@example.com " + text if number % EVERY == 1 else text


async def serve(port: int, tls_port: int, certificate: Path | None) -> None:
    """Listen for ever."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Upstream, "127.0.0.1", port, backlog=4096)]
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        servers.append(await loop.create_server(Upstream, "127.0.0.1", tls_port, backlog=4096, ssl=context))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--tls-port", type=int, default=0)
    parser.add_argument("--certificate", type=Path, help="PEM; its key is key.pem beside it")
    chosen = parser.parse_args()
    uvloop.run(serve(chosen.port, chosen.tls_port, chosen.certificate))
