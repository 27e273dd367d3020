"""Google's official client, asking our dialect, behind which stands a model that speaks OpenAI's chat."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from google import genai
from google.genai import types

from rondel.errors import RondelError
from rondel.gateway.dialects.generate.dialect import Generate
from rondel.gateway.ports import Chunk, Problem
from rondel.gateway.rules import assemble

Model = Callable[[dict[str, Any]], list[Chunk] | Chunk]
"""Chat fields in; the chunks of a stream or a whole answer out."""


class Refused(Exception):
    """The model answers with an error status."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.message)
        self.status, self.problem = status, problem


class Gate:
    """Reads requests as our dialect does, keeps them, and writes what the model says."""

    def __init__(self, model: Model) -> None:
        self._model, self._dialect = model, Generate()
        self.bodies: list[bytes] = []
        self.asked: list[dict[str, Any]] = []
        self.client: Any = genai.Client(  # its methods take images of a library that is not installed: untyped
            api_key="sk-rondel-1",
            http_options=types.HttpOptions(
                base_url="http://gateway",
                api_version="v1beta",
                httpx_client=httpx.Client(transport=httpx.MockTransport(self._serve)),
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )

    def _serve(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        try:
            head = self._dialect.head(request.url.raw_path.decode(), headers_of(request), request.content)
            fields = self._dialect.read(request.content, head)
            asked: dict[str, Any] = json.loads(assemble(fields))
            self.asked.append(asked)
            answer = self._model(asked)
        except RondelError as error:
            return self._refusal(error.status, Problem(error.message, code=error.code))
        except Refused as refused:
            return self._refusal(refused.status, refused.problem)
        writer = self._dialect.writer(fields, head, request.content)
        if not isinstance(answer, list):
            return httpx.Response(200, content=writer.whole(answer))
        body = b"".join(map(writer.feed, answer))
        is_finished = any(choice.get("finish_reason") for chunk in answer for choice in chunk.get("choices", []))
        broken = Problem("The upstream ended its answer before it was whole.", "server_error", "stream_broken")
        body += writer.end() if is_finished else writer.broken(broken)
        return httpx.Response(200, content=body, headers={"content-type": "text/event-stream"})

    def _refusal(self, status: int, problem: Problem) -> httpx.Response:
        return httpx.Response(status, content=self._dialect.error(status, problem))


def headers_of(request: httpx.Request) -> Mapping[bytes, bytes]:
    """The headers as the gateway hands them over."""
    return {name.lower(): value for name, value in request.headers.raw}


USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 20,
    "total_tokens": 50,
    "prompt_tokens_details": {"cached_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def whole(message: dict[str, Any], finish: str = "stop") -> Chunk:
    """A whole answer of OpenAI's chat."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "served", "choices": [choice], "usage": USAGE}


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> Chunk:
    """A chunk of a stream of OpenAI's chat."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "served", "choices": [choice]}


def usage_chunk() -> Chunk:
    """The last chunk of a stream."""
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "served", "choices": [], "usage": USAGE}


def tool_call(name: str, arguments: str, call_id: str = "call_1", index: int | None = None) -> dict[str, Any]:
    """A call as OpenAI tells one."""
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return call if index is None else {"index": index, **call}
