"""Reads what Cohere answers as OpenAI's chat completions and embeddings.

Sources: https://docs.cohere.com/v2/docs/streaming, https://docs.cohere.com/v2/reference/embed
"""

from typing import Any

import msgspec

from rondel.gateway.costing import total_tokens
from rondel.gateway.dialects import vectors
from rondel.gateway.dialects.cohere.asking import OWN
from rondel.gateway.dialects.cohere.words import (
    PLAN,
    THINKING,
    is_list,
    is_object,
    json_of,
    object_of,
    openai_usage,
    problem_of,
    tokens_of,
)
from rondel.gateway.dialects.events import DONE, Events, data_of
from rondel.gateway.models import Fields
from rondel.gateway.ports import Chunk, Problem

_FINISH = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
_FAILED = ("ERROR", "TIMEOUT")
_NOT_JSON = Problem("The answer of the server is not JSON.", "server_error", "bad_answer")


class Answers:
    """A decoder of one answer. Cohere tells neither model nor time: `model` is the one that was asked.

    Thoughts and the plan for tools are `reasoning_content`, and stand in `reasoning_details` to be sent back; citations
    are kept as they come, beside the content.
    """

    def __init__(self, model: str, *, is_stream: bool) -> None:
        self.usage = b""
        self.problem: Problem | None = None
        self._model, self._is_stream = model, is_stream
        self._events = Events()
        self._whole: list[bytes] = []
        self._id = ""
        self._calls: dict[Any, int] = {}
        self._is_finished = False

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that `data` completes."""
        if self._is_stream:
            return self._take(self._events.feed(data))
        self._whole.append(data)
        return []

    def end(self) -> list[Chunk]:
        """The rest: the usage of a stream, or the whole answer."""
        if not self._is_stream:
            return self._answer(b"".join(self._whole))
        chunks = self._take([self._events.end() + b"\n\n"])
        if self._is_finished and (usage := openai_usage(self.usage)) is not None:
            chunks.append({**self._top("chat.completion.chunk"), "choices": [], "usage": usage})
        return chunks

    def _top(self, kind: str) -> Chunk:
        return {"id": self._id, "object": kind, "created": 0, "model": self._model}

    def _take(self, events: list[bytes]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for event in events:
            data = data_of(event)
            if not data or data == DONE or self.problem is not None:
                continue
            told = object_of(data)
            if told is None or "type" not in told:
                self.problem = (problem_of(500, data) if told else None) or _NOT_JSON
                break
            if (choice := self._event(told)) is not None:
                chunks.append({**self._top("chat.completion.chunk"), "choices": [choice]})
        return chunks

    def _event(self, told: dict[str, Any]) -> dict[str, Any] | None:
        """What one event says, as a choice; None for those that only mark a place."""
        kind, delta = told["type"], told.get("delta")
        delta = delta if is_object(delta) else {}
        if kind == "message-start":
            self._id = str(told.get("id") or "")
            return _choice({"role": "assistant"})
        if kind == "message-end":
            return self._end(delta)
        message = delta.get("message")
        message = message if is_object(message) else {}
        said = self._piece(message, told.get("index"))
        if not said:
            return None
        choice = _choice(said)
        if (logprobs := _logprobs([told.get("logprobs")])) is not None:
            choice["logprobs"] = logprobs
        return choice

    def _piece(self, message: dict[str, Any], index: Any) -> dict[str, Any]:
        """A piece of the message as a delta."""
        said: dict[str, Any] = {}
        content, call, citation = message.get("content"), message.get("tool_calls"), message.get("citations")
        if is_object(content):
            _say(said, content)
        if isinstance(message.get("tool_plan"), str) and message["tool_plan"]:
            _think(said, message["tool_plan"], PLAN)
        if is_object(call):
            said["tool_calls"] = [self._call(call, str(index))]
        if is_object(citation):
            said["citations"] = [citation]
        return said

    def _call(self, call: dict[str, Any], place: str) -> dict[str, Any]:
        """The start of a call, or a piece of its arguments."""
        number = self._calls.setdefault(place, len(self._calls))
        function = call.get("function")
        function = function if is_object(function) else {}
        told = {name: function[name] for name in ("name", "arguments") if isinstance(function.get(name), str)}
        begun = {"id": call["id"], "type": "function"} if isinstance(call.get("id"), str) else {}
        return {"index": number, **begun, "function": told}

    def _end(self, delta: dict[str, Any]) -> dict[str, Any] | None:
        if is_object(delta.get("usage")):
            self.usage = json_of(delta["usage"])
        finish = self._finish(delta.get("finish_reason"), delta.get("error"))
        if finish is None:
            return None
        self._is_finished = True
        return {**_choice({}), "finish_reason": finish, "native_finish_reason": delta["finish_reason"]}

    def _finish(self, native: Any, error: Any) -> str | None:
        """The reason as OpenAI's; None when it says that the answer failed."""
        if isinstance(error, str) or not isinstance(native, str) or native in _FAILED:
            message = error if isinstance(error, str) else f"The model gave no good answer ({native})."
            self.problem = Problem(message, "server_error", str(native).lower())
            return None
        return _FINISH.get(native, "stop")

    def _answer(self, body: bytes) -> list[Chunk]:
        told = object_of(body)
        message = told.get("message") if told is not None else None
        if told is None or not is_object(message):
            self.problem = problem_of(500, body) or _NOT_JSON
            return []
        self._id = str(told.get("id") or "")
        if is_object(told.get("usage")):
            self.usage = json_of(told["usage"])
        finish = self._finish(told.get("finish_reason"), None)
        if finish is None:
            return []
        choice: dict[str, Any] = {
            "index": 0,
            "message": _message(message),
            "finish_reason": finish,
            "native_finish_reason": told["finish_reason"],
        }
        listed = told.get("logprobs")
        if (logprobs := _logprobs(listed if is_list(listed) else [])) is not None:
            choice["logprobs"] = logprobs
        usage = openai_usage(self.usage)
        return [{**self._top("chat.completion"), "choices": [choice], **({"usage": usage} if usage else {})}]


def _choice(delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": None}


def _say(said: dict[str, Any], content: dict[str, Any]) -> None:
    """A block of the content, or a piece of one."""
    if isinstance(content.get("text"), str) and content["text"]:
        said["content"] = (said.get("content") or "") + content["text"]
    if isinstance(content.get("thinking"), str) and content["thinking"]:
        _think(said, content["thinking"], THINKING)


def _think(said: dict[str, Any], text: str, kind: str) -> None:
    said["reasoning_content"] = said.get("reasoning_content", "") + text
    said.setdefault("reasoning_details", []).append({"type": "reasoning.text", "text": text, "format": kind})


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """The message of a whole answer."""
    made: dict[str, Any] = {"role": "assistant", "content": None}
    if isinstance(message.get("tool_plan"), str) and message["tool_plan"]:
        _think(made, message["tool_plan"], PLAN)
    blocks = message.get("content")
    for block in blocks if is_list(blocks) else []:
        if is_object(block):
            _say(made, block)
    for name in ("tool_calls", "citations"):
        if is_list(message.get(name)) and message[name]:
            made[name] = message[name]
    return made


def _logprobs(items: list[Any]) -> dict[str, Any] | None:
    """Cohere tells a text with the log probability of each of its tokens: the text's own is their sum."""
    content: list[dict[str, Any]] = []
    for item in items:
        values = item.get("logprobs") if is_object(item) else None
        if is_list(values) and all(isinstance(value, int | float) for value in values):
            text = str(item.get("text") or "")
            token = {"token": text, "logprob": sum(values), "bytes": list(text.encode()), "top_logprobs": []}
            content.append(token)
    return {"content": content} if content else None


class _Vectors(msgspec.Struct):
    floats: list[list[float]] = msgspec.field(name="float")


class _Embedded(msgspec.Struct):
    embeddings: _Vectors
    meta: msgspec.Raw = msgspec.Raw(b"")


_embedded = msgspec.json.Decoder(_Embedded).decode


class Embeddings:
    """A decoder of one answer with embeddings."""

    def __init__(self, fields: Fields, model: str) -> None:
        self.usage = b""
        self.problem: Problem | None = None
        self._encoding = vectors.wanted(fields, "Cohere", OWN).encoding
        self._model = model
        self._body: list[bytes] = []

    def feed(self, data: bytes) -> list[Chunk]:
        """Nothing is whole before the end."""
        self._body.append(data)
        return []

    def end(self) -> list[Chunk]:
        """The answer as OpenAI's embeddings have it."""
        body = b"".join(self._body)
        try:
            told = _embedded(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.problem = problem_of(500, body) or _NOT_JSON
            return []
        self.usage = bytes(told.meta)
        tokens = tokens_of(self.usage)
        count = None if tokens is None else total_tokens(tokens)
        return [vectors.answer(told.embeddings.floats, self._encoding, self._model, count)]
