"""Answers of the Messages API, read as OpenAI's chat completions.

Thoughts come as `reasoning_content` while they are thought, and once more, with what signs them, as an entry of
`reasoning_details` when they are complete. `created` is 0: the server tells no time.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from typing import Any

import msgspec

from rondel.gateway.dialects.events import Events, data_of
from rondel.gateway.dialects.extras import ANTHROPIC
from rondel.gateway.dialects.messages.problems import Error
from rondel.gateway.dialects.messages.thoughts import sealed, signed
from rondel.gateway.dialects.messages.usage import as_chat, merged
from rondel.gateway.ports import Chunk, Problem

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_PLAIN = frozenset({"end_turn", "max_tokens", "tool_use"})
_NONE = msgspec.Raw(b"null")
_GARBAGE = Problem("The server sent what is no answer of the Messages API.", "upstream_error", "bad_answer")


class _Block(msgspec.Struct):
    type: str
    id: str = ""
    name: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: msgspec.Raw = _NONE


class _Message(msgspec.Struct):
    id: str = ""
    model: str = ""
    content: list[_Block] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: msgspec.Raw = _NONE
    usage: msgspec.Raw = _NONE


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: msgspec.Raw = _NONE
    error: Error | None = None


class _Whole(_Message):
    type: str = ""
    error: Error | None = None


_event = msgspec.json.Decoder(_Event)
_whole = msgspec.json.Decoder(_Whole)


class _Open(msgspec.Struct):
    """A block that has begun; `number` counts tool calls, or thoughts."""

    type: str
    number: int
    text: str = ""
    signature: str = ""


class Streamed:
    """Reads a stream of events."""

    def __init__(self) -> None:
        self._events = Events()
        self._id, self._model = "", ""
        self._open: dict[int, _Open] = {}
        self._calls, self._thoughts = 0, 0
        self._ending: Chunk | None = None
        self._is_done = False
        self.usage = b""
        self.problem: Problem | None = None

    def feed(self, data: bytes) -> list[Chunk]:
        """Take bytes, cut anywhere; give the chunks that they complete."""
        chunks: list[Chunk] = []
        for event in self._events.feed(data):
            self._read(data_of(event), chunks)
        return chunks

    def end(self) -> list[Chunk]:
        """The rest: the ending, if all but the stream's own last event came."""
        chunks: list[Chunk] = []
        left = self._events.end()
        if left.strip() and _is_event(torn := data_of(left + b"\n\n")):
            self._read(torn, chunks)
        self._end(chunks)
        return chunks

    def _read(self, data: bytes, chunks: list[Chunk]) -> None:
        if not data or self.problem is not None or self._is_done:
            return
        try:
            event = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.problem = _GARBAGE
            return
        match event.type:
            case "message_start" if event.message is not None:
                self._id, self._model = event.message.id, event.message.model
                self.usage = merged(self.usage, event.message.usage)
                chunks.append(self._chunk({"role": "assistant", "content": ""}))
            case "content_block_start" if event.content_block is not None:
                self._start(event.index, event.content_block, chunks)
            case "content_block_delta" if event.delta is not None and event.index in self._open:
                self._go_on(self._open[event.index], event.delta, chunks)
            case "content_block_stop" if event.index in self._open:
                self._stop(self._open.pop(event.index), chunks)
            case "message_delta" if event.delta is not None:
                self.usage = merged(self.usage, event.usage)
                if event.delta.stop_reason is not None:
                    self._ending = _ending(event.delta)
            case "message_stop":
                self._end(chunks)
            case "error":
                self.problem = (event.error or Error()).problem()
            case _:  # pings, and what is yet to come
                pass

    def _start(self, index: int, block: _Block, chunks: list[Chunk]) -> None:
        match block.type:
            case "tool_use":
                self._open[index] = opened = _Open("tool_use", self._calls)
                self._calls += 1
                function = {"name": block.name, "arguments": ""}
                call = {"index": opened.number, "id": block.id, "type": "function", "function": function}
                chunks.append(self._chunk({"tool_calls": [call]}))
                if bytes(block.input) not in (b"{}", b"null"):
                    self._go_on(opened, _Delta("input_json_delta", partial_json=bytes(block.input).decode()), chunks)
            case "thinking":
                self._open[index] = opened = _Open("thinking", self._thoughts, signature=block.signature)
                self._thoughts += 1
                self._go_on(opened, _Delta("thinking_delta", thinking=block.thinking), chunks)
            case "redacted_thinking":
                chunks.append(self._chunk({"reasoning_details": [sealed(block.data, self._thoughts)]}))
                self._thoughts += 1
            case "text":
                self._open[index] = opened = _Open("text", 0)
                self._go_on(opened, _Delta("text_delta", text=block.text), chunks)
            case _:  # what Anthropic's own tools did
                pass

    def _go_on(self, opened: _Open, delta: _Delta, chunks: list[Chunk]) -> None:
        match delta.type:
            case "text_delta" if delta.text:
                chunks.append(self._chunk({"content": delta.text}))
            case "input_json_delta" if delta.partial_json:
                opened.text += delta.partial_json
                function = {"arguments": delta.partial_json}
                chunks.append(self._chunk({"tool_calls": [{"index": opened.number, "function": function}]}))
            case "thinking_delta" if delta.thinking:
                opened.text += delta.thinking
                chunks.append(self._chunk({"reasoning_content": delta.thinking}))
            case "signature_delta":
                opened.signature = delta.signature
            case _:
                pass

    def _stop(self, opened: _Open, chunks: list[Chunk]) -> None:
        if opened.type == "thinking":
            detail = signed(opened.text, opened.signature, opened.number)
            chunks.append(self._chunk({"reasoning_details": [detail]}))
        elif opened.type == "tool_use" and not opened.text:
            self._go_on(opened, _Delta("input_json_delta", partial_json="{}"), chunks)

    def _end(self, chunks: list[Chunk]) -> None:
        if self._ending is None or self._is_done or self.problem is not None:
            return
        self._is_done = True
        chunks.append({**self._chunk({}), "choices": [{"index": 0, "delta": {}, **self._ending}]})
        if usage := as_chat(self.usage):
            chunks.append({**self._chunk({}), "choices": [], "usage": usage})

    def _chunk(self, delta: dict[str, Any]) -> Chunk:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        }


class Gathered:
    """Reads an answer that is no stream."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.usage = b""
        self.problem: Problem | None = None

    def feed(self, data: bytes) -> list[Chunk]:
        """Nothing is whole before the end."""
        self._parts.append(data)
        return []

    def end(self) -> list[Chunk]:
        """The whole answer."""
        try:
            answer = _whole.decode(b"".join(self._parts))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.problem = _GARBAGE
            return []
        if answer.type != "message":
            self.problem = _GARBAGE if answer.error is None else answer.error.problem()
            return []
        self.usage = merged(b"", answer.usage)
        chunk: Chunk = {
            "id": answer.id,
            "object": "chat.completion",
            "created": 0,
            "model": answer.model,
            "choices": [{"index": 0, "message": _message(answer.content), **_ending(answer)}],
        }
        if usage := as_chat(self.usage):
            chunk["usage"] = usage
        return [chunk]


def _is_event(data: bytes) -> bool:
    try:
        _event.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _message(blocks: list[_Block]) -> dict[str, Any]:
    texts = [block.text for block in blocks if block.type == "text"]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    thoughts = [block for block in blocks if block.type in ("thinking", "redacted_thinking")]
    if any(block.thinking for block in thoughts):
        message["reasoning_content"] = "".join(block.thinking for block in thoughts)
    if thoughts:
        message["reasoning_details"] = [
            signed(block.thinking, block.signature, index) if block.type == "thinking" else sealed(block.data, index)
            for index, block in enumerate(thoughts)
        ]
    if calls := [block for block in blocks if block.type == "tool_use"]:
        message["tool_calls"] = [
            {
                "id": block.id,
                "type": "function",
                "function": {"name": block.name, "arguments": bytes(block.input).decode()},
            }
            for block in calls
        ]
    return message


def _ending(told: _Delta | _Message) -> dict[str, Any]:
    """The finish reason of a choice; what it says more than OpenAI's words stands under `anthropic`."""
    reason = told.stop_reason
    if reason is None:
        return {"finish_reason": None}
    ending: dict[str, Any] = {"finish_reason": _REASONS.get(reason, "stop")}
    if reason not in _PLAIN:
        ending[ANTHROPIC] = {"stop_reason": reason, "stop_sequence": told.stop_sequence}
        if bytes(told.stop_details) != b"null":
            ending[ANTHROPIC]["stop_details"] = msgspec.json.decode(told.stop_details)
    return ending
