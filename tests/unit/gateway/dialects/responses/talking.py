"""A gateway in one function: the official client speaks to it, and a model that is a list of chunks answers."""

import json
from collections.abc import Iterable
from typing import Any

import httpx2
from openai import OpenAI

from rondel.errors import Invalid
from rondel.gateway.dialects.responses.dialect import Responses
from rondel.gateway.ports import Chunk, Problem

HEAD: Chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "tiny-1"}
USAGE: Chunk = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


def piece(finish: str | None = None, **delta: Any) -> Chunk:
    """A chunk of a stream."""
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def spent(usage: Chunk = USAGE) -> Chunk:
    """The chunk with the usage."""
    return {**HEAD, "choices": [], "usage": usage}


def call_piece(index: int, call_id: str | None, name: str | None, arguments: str) -> Chunk:
    """A piece of a function call, as OpenAI streams it."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    call = {"index": index, "function": function} | ({"id": call_id, "type": "function"} if call_id else {})
    return piece(tool_calls=[call])


class Gateway:
    """Answers requests to `/v1/responses`; keeps what the model would have been asked."""

    def __init__(self, *answer: Chunk, problem: Problem | None = None) -> None:
        self.answer, self.problem = answer, problem
        self.asked: dict[str, Any] = {}
        self.client = OpenAI(
            base_url="http://gateway/v1",
            api_key="sk-rondel-1",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self._handle)),
        )

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        dialect = Responses()
        body = request.content
        try:
            head = dialect.head(request.url.path, {}, body)
            fields = dialect.read(body, head)
        except Invalid as error:
            return httpx2.Response(400, content=dialect.error(400, Problem(error.message, code=error.code)))
        self.asked = {name: json.loads(bytes(value)) for name, value in fields.items()}
        writer = dialect.writer(fields, head, body)
        if not head.is_stream:
            return httpx2.Response(200, content=writer.whole(self.answer[0]))
        out = b"".join(writer.feed(chunk) for chunk in self.answer)
        out += writer.end() if self.problem is None else writer.broken(self.problem)
        return httpx2.Response(200, content=out, headers={"content-type": "text/event-stream"})


def whole(message: Chunk, finish: str = "stop", usage: Chunk | None = USAGE) -> Chunk:
    """An answer that is no stream."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage}


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream."""
    texts = [block.partition("data: ")[2] for block in data.decode().split("\n\n") if block]
    return [json.loads(text) for text in texts]


def write(answer: Iterable[Chunk], body: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The events that an answer is written as."""
    writer = writer_of(body)
    data = b"".join([writer.feed(chunk) for chunk in answer])
    return events_of(data + writer.end())


def writer_of(body: dict[str, Any] | None = None) -> Any:
    """A writer for the answer to a request."""
    request = json.dumps({"model": "m", "input": "hi", "stream": True, **(body or {})}).encode()
    dialect = Responses()
    head = dialect.head("/v1/responses", {}, request)
    return dialect.writer(dialect.read(request, head), head, request)
