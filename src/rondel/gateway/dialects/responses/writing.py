"""Writes a response, as a stream of events or whole, from chat completions."""

import hashlib
from typing import Any

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.responses.output import (
    Event,
    Item,
    Message,
    Reasoning,
    Status,
    ToolCall,
    content_of,
    reasoning_of,
)
from rondel.gateway.dialects.responses.reading import tools_of
from rondel.gateway.dialects.responses.shapes import count_of, is_list, object_of, objects_of, text_of, usage_from_chat
from rondel.gateway.dialects.responses.tools import Named
from rondel.gateway.models import Head
from rondel.gateway.ports import Chunk, Problem

_NULL = msgspec.Raw(b"null")
_CODES = frozenset(
    {"server_error", "rate_limit_exceeded", "invalid_prompt", "context_length_exceeded", "insufficient_quota"}
)
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ENDED_EARLY = "The model's answer ended before it was whole."


class _Echo(msgspec.Struct):
    """What a response repeats of its request."""

    instructions: msgspec.Raw = _NULL
    max_output_tokens: msgspec.Raw = _NULL
    max_tool_calls: msgspec.Raw = _NULL
    metadata: msgspec.Raw = _NULL
    parallel_tool_calls: bool | None = None
    prompt_cache_key: msgspec.Raw = _NULL
    reasoning: dict[str, Any] | None = None
    safety_identifier: msgspec.Raw = _NULL
    temperature: msgspec.Raw = _NULL
    text: dict[str, Any] | None = None
    tool_choice: msgspec.Raw = _NULL
    tools: list[msgspec.Raw] | None = None
    top_logprobs: msgspec.Raw = _NULL
    top_p: msgspec.Raw = _NULL
    user: msgspec.Raw = _NULL


_echo = msgspec.json.Decoder(_Echo).decode
_encode = msgspec.json.Encoder().encode


class ResponsesWriter:
    """Writes one answer. `body` is the caller's request, whose settings the response repeats.

    Nothing is stored here, so `store` is told as false; nothing is left out of the input, so `truncation` is told as
    "disabled". A stream that says no finish reason ends as incomplete.
    """

    def __init__(self, body: bytes, head: Head) -> None:
        asked = _echo(body)
        self._names = _names(asked.tools)
        self._is_summary = bool((asked.reasoning or {}).get("summary"))
        self._body, self._head = body, head
        self._base = _settings(asked)
        self._model, self._created, self._id = head.model, 0, ""
        self._tier: str | None = None
        self._usage: Chunk = {}
        self._finish = ""
        self._items: list[Item] = []
        self._text: Message | Reasoning | None = None
        self._calls: dict[int, ToolCall] = {}
        self._early: dict[int, str] = {}
        self._number = 0

    def feed(self, chunk: Chunk) -> bytes:
        """The events of one chunk."""
        begins = not self._id
        self._note(chunk)
        events = self._begin() if begins else []
        for choice in objects_of(chunk.get("choices")):
            if choice.get("index", 0) == 0:
                events += self._take(object_of(choice.get("delta")), choice)
        return self._written(events)

    def end(self) -> bytes:
        """The last events: completed, or incomplete where the finish reason says so or is missing."""
        events = [] if self._id else self._start()
        status = self._status()
        events += self._close(status)
        return self._written([*events, self._told(f"response.{status}", status)])

    def broken(self, problem: Problem) -> bytes:
        """The response failed."""
        events = [] if self._id else self._start()
        events += self._close(Status.INCOMPLETE)
        return self._written([*events, self._told("response.failed", Status.FAILED, problem)])

    def whole(self, answer: Chunk) -> bytes:
        """The response as one object."""
        self._note(answer)
        for choice in objects_of(answer.get("choices")):
            if choice.get("index", 0) == 0:
                self._take(object_of(choice.get("message")), choice)
        status = self._status()
        self._close(status)
        return _encode(self._response(status))

    # What the answer says

    def _note(self, chunk: Chunk) -> None:
        if not self._id:
            given = text_of(chunk.get("id")).removeprefix("chatcmpl-")
            self._id = given or hashlib.blake2b(self._body + _encode(chunk), digest_size=16).hexdigest()
        self._model = text_of(chunk.get("model")) or self._model
        self._created = count_of(chunk.get("created")) or self._created
        self._tier = text_of(chunk.get("service_tier")) or self._tier
        self._usage = object_of(chunk.get("usage")) or self._usage

    def _start(self) -> list[Event]:
        """An answer that ends without having said anything."""
        self._note({})
        return self._begin()

    def _begin(self) -> list[Event]:
        return [
            self._told("response.created", Status.IN_PROGRESS),
            self._told("response.in_progress", Status.IN_PROGRESS),
        ]

    def _take(self, delta: dict[str, Any], choice: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        thought, details = reasoning_of(delta)
        if thought or details:
            item = self._text
            if not isinstance(item, Reasoning):
                events += self._close_text(Status.COMPLETED)
                item = self._text = Reasoning(len(self._items), self._new_id("rs"), is_summary=self._is_summary)
                events.append(self._open(item))
            item.details(details)
            events += item.text(thought) if thought else []
        if text := content_of(delta):
            logprobs = objects_of(object_of(choice.get("logprobs")).get("content"))
            events += self._message(events).text(text, [_logprob(one) for one in logprobs])
        if refusal := text_of(delta.get("refusal")):
            events += self._message(events).refusal(refusal)
        for annotation in objects_of(delta.get("annotations")):
            events += self._message(events).annotate(annotation)
        for place, call in enumerate(objects_of(delta.get("tool_calls"))):
            events += self._call(call, place)
        if finish := text_of(choice.get("finish_reason")):
            self._finish = finish
            events += self._close(self._status())
        return events

    def _message(self, events: list[Event]) -> Message:
        """The message that goes on, or a new one, whose opening is added to `events`."""
        item = self._text
        if not isinstance(item, Message):
            events += self._close_text(Status.COMPLETED)
            item = self._text = Message(len(self._items), self._new_id("msg"))
            events.append(self._open(item))
        return item

    def _call(self, told: dict[str, Any], place: int) -> list[Event]:
        """A piece of a tool call. A server that gives every call the same index tells them apart by their ids."""
        given = told.get("index")
        index = given if isinstance(given, int) else place
        is_plain = told.get("type") == "custom" or "custom" in told
        inner = object_of(told.get("custom") if is_plain else told.get("function"))
        name, call_id = text_of(inner.get("name")), text_of(told.get("id"))
        piece = text_of(inner.get("input" if is_plain else "arguments"))
        call = self._calls.get(index)
        if call is None or (name and call_id and call.call_id != call_id):
            piece = self._early.pop(index, "") + piece
            if not name:
                self._early[index] = piece
                return []
            called = self._names.get(name, Named(name))
            if is_plain:
                called = called._replace(is_custom=True)
            number = len(self._items)
            call_id = call_id or self._new_id("call")
            call = ToolCall(number, self._new_id("fc"), call_id, called, is_wrapped=not is_plain)
            self._calls[index] = call
            return [*self._close_text(Status.COMPLETED), self._open(call), *call.more(piece)]
        return call.more(piece)

    # How it is told

    def _open(self, item: Item) -> Event:
        self._items.append(item)
        return item.opened()

    def _close_text(self, status: Status) -> list[Event]:
        item, self._text = self._text, None
        return item.close(status) if item is not None else []

    def _close(self, status: Status) -> list[Event]:
        self._text = None
        self._calls.clear()
        return [event for item in self._items for event in item.close(status)]

    def _status(self) -> Status:
        if not self._finish or self._finish in _INCOMPLETE:
            return Status.INCOMPLETE
        return Status.FAILED if self._finish == "error" else Status.COMPLETED

    def _new_id(self, kind: str) -> str:
        return f"{kind}_{self._id}_{len(self._items)}"

    def _told(self, kind: str, status: Status, problem: Problem | None = None) -> Event:
        return {"type": kind, "response": self._response(status, problem)}

    def _response(self, status: Status, problem: Problem | None = None) -> dict[str, Any]:
        is_over = status is not Status.IN_PROGRESS
        if status is Status.FAILED and problem is None:
            problem = Problem(_ENDED_EARLY, "server_error")
        reason = _INCOMPLETE.get(self._finish)
        return {
            "id": f"resp_{self._id}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": _error(problem) if problem is not None else None,
            "incomplete_details": {"reason": reason} if status is Status.INCOMPLETE and reason else None,
            "model": self._model,
            "output": [item.shown() for item in self._items] if is_over else [],
            "service_tier": self._tier,
            "usage": usage_from_chat(self._usage) if is_over and self._usage else None,
            **self._base,
        }

    def _written(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            event["sequence_number"] = self._number
            self._number += 1
            out.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event)))
        return b"".join(out)


def _names(tools: list[msgspec.Raw] | None) -> dict[str, Named]:
    try:
        return tools_of(tools).names
    except Invalid:  # a request that was not read by us, but by a provider that speaks this dialect
        return {}


def _settings(asked: _Echo) -> dict[str, Any]:
    reasoning, text = asked.reasoning or {}, asked.text or {}
    return {
        "background": False,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": asked.max_tool_calls,
        "metadata": {} if bytes(asked.metadata) == b"null" else asked.metadata,
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": asked.prompt_cache_key,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": asked.safety_identifier,
        "store": False,
        "temperature": asked.temperature,
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": "auto" if bytes(asked.tool_choice) == b"null" else asked.tool_choice,
        "tools": asked.tools or [],
        "top_logprobs": asked.top_logprobs,
        "top_p": asked.top_p,
        "truncation": "disabled",
        "user": asked.user,
    }


def _error(problem: Problem) -> dict[str, Any]:
    code = problem.code if problem.code in _CODES else None
    if code is None:
        code = "rate_limit_exceeded" if "rate_limit" in problem.type else "server_error"
    return {"code": code, "message": problem.message, "type": problem.type or code, "param": problem.param}


def _logprob(told: dict[str, Any]) -> dict[str, Any]:
    """A token's log probability with the fields that a response requires."""
    return {**_with_bytes(told), "top_logprobs": [_with_bytes(one) for one in objects_of(told.get("top_logprobs"))]}


def _with_bytes(told: dict[str, Any]) -> dict[str, Any]:
    found: list[int] = told["bytes"] if is_list(told.get("bytes")) else []
    return {**told, "bytes": found}
