"""Answers of the Converse API, read as OpenAI's chat completions.

Bedrock names neither the answer nor its model: `id` is empty, and `model` is the one that was asked for.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from typing import Any

import msgspec

from rondel.gateway.dialects.converse.frames import Damaged, Frame, Frames
from rondel.gateway.dialects.extras import ANTHROPIC
from rondel.gateway.dialects.messages.thoughts import sealed, signed
from rondel.gateway.dialects.messages.usage import as_chat
from rondel.gateway.dialects.messages.usage import counts as counts_of_messages
from rondel.gateway.ports import Chunk, Problem
from rondel.gateway.rules import raw
from rondel.telemetry.records import TokenCounts

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_ANTHROPICS = frozenset({"stop_sequence", "model_context_window_exceeded"})
_TYPES = {
    "ValidationException": "invalid_request_error",
    "AccessDeniedException": "permission_error",
    "ResourceNotFoundException": "not_found_error",
    "ThrottlingException": "rate_limit_error",
    "ServiceUnavailableException": "overloaded_error",
    "ModelNotReadyException": "overloaded_error",
    "ModelTimeoutException": "timeout_error",
}
_NONE = msgspec.Raw(b"null")
_GARBAGE = Problem("The server sent what is no answer of the Converse API.", "upstream_error", "bad_answer")


class _ToolUse(msgspec.Struct):
    """Of a start the id and the name, of a delta a piece of the input's text, of a whole answer all with the input."""

    toolUseId: str = ""  # noqa: N815  the wire's name
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    type: str | None = None


class _ReasoningText(msgspec.Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None
    reasoning_text: _ReasoningText | None = None


class _Generated(msgspec.Struct):
    text: str = ""


class _Cited(msgspec.Struct):
    content: list[_Generated] = []


class _Content(msgspec.Struct, rename="camel"):
    """A block, the start of one, or a piece of one."""

    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Cited | None = None


class _Event(msgspec.Struct, rename="camel"):
    """The payload of any event."""

    content_block_index: int = 0
    start: _Content | None = None
    delta: _Content | None = None
    stop_reason: str | None = None
    usage: msgspec.Raw = _NONE
    message: msgspec.Raw = _NONE
    original_message: str | None = None


class _Message(msgspec.Struct):
    content: list[_Content]


class _Output(msgspec.Struct):
    message: _Message


class _Whole(msgspec.Struct, rename="camel"):
    output: _Output
    stop_reason: str
    usage: msgspec.Raw = _NONE


class _Detail(msgspec.Struct, rename="camel"):
    ttl: str = ""
    input_tokens: int = 0


class _Usage(msgspec.Struct, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_details: list[_Detail] | None = None


class _Error(msgspec.Struct):
    """Some errors write `Message`."""

    message: str | None = None
    Message: str | None = None
    type: str = msgspec.field(default="", name="__type")


_event = msgspec.json.Decoder(_Event)
_whole = msgspec.json.Decoder(_Whole)
_usage = msgspec.json.Decoder(_Usage)
_error = msgspec.json.Decoder(_Error)
_text = msgspec.json.Decoder(str)


def problem_of(body: bytes, kind: str = "") -> Problem | None:
    """An error's body, or an exception's payload with its name; None when it says nothing."""
    try:
        told = _error.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    message = told.message or told.Message
    name = kind or told.type.rpartition("#")[2]
    name = name[:1].upper() + name[1:]
    if message is None and not name:
        return None
    return Problem(message or name, _TYPES.get(name, ""), name or None)


def as_messages(reported: bytes) -> bytes:
    """Converse's usage in the shape of the Messages API, whose counts are as disjoint; empty when it says nothing."""
    try:
        usage = _usage.decode(reported)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""
    told = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_creation_input_tokens": usage.cache_write_input_tokens,
    }
    written = {f"ephemeral_{detail.ttl}_input_tokens": detail.input_tokens for detail in usage.cache_details or []}
    return bytes(raw({**told, **({"cache_creation": written} if written else {})}))


def counts(reported: bytes) -> TokenCounts | None:
    """Disjoint buckets of a usage object, whose `inputTokens` hold nothing of the cache; None when it says nothing.

    Source: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
    """
    return counts_of_messages(as_messages(reported))


class _Thought(msgspec.Struct):
    """A block of reasoning that is not over."""

    number: int
    text: str = ""
    signature: str = ""


class Streamed:
    """Reads a stream of frames."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._frames = Frames()
        self._calls: dict[int, int] = {}
        self._written: set[int] = set()
        self._thoughts: dict[int, _Thought] = {}
        self._thought_count = 0
        self.usage = b""
        self.problem: Problem | None = None

    def feed(self, data: bytes) -> list[Chunk]:
        """Take bytes, cut anywhere; give the chunks that they complete."""
        if self.problem is not None:
            return []
        chunks: list[Chunk] = []
        try:
            for frame in self._frames.feed(data):
                self._read(frame, chunks)
        except (Damaged, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.problem = _GARBAGE
        return chunks

    def end(self) -> list[Chunk]:
        """Nothing: what ends a stream comes in frames of its own."""
        return []

    def _read(self, frame: Frame, chunks: list[Chunk]) -> None:
        if self.problem is not None:
            return
        if frame.headers.get(":message-type") in ("exception", "error"):
            self._fail(frame)
            return
        event = _event.decode(frame.payload or b"{}")
        match frame.headers.get(":event-type"):
            case "messageStart":
                chunks.append(_chunk(self._model, {"role": "assistant", "content": ""}))
            case "contentBlockStart" if event.start is not None and event.start.tool_use is not None:
                self._start(event.content_block_index, event.start.tool_use, chunks)
            case "contentBlockDelta" if event.delta is not None:
                self._go_on(event.content_block_index, event.delta, chunks)
            case "contentBlockStop":
                self._stop(event.content_block_index, chunks)
            case "messageStop" if event.stop_reason is not None:
                chunks.append({**_chunk(self._model, {}), "choices": [{"delta": {}, **_ending(event.stop_reason)}]})
            case "metadata":
                self.usage = bytes(event.usage) if bytes(event.usage) != b"null" else b""
                if usage := as_chat(as_messages(self.usage)):
                    chunks.append({**_chunk(self._model, {}), "choices": [], "usage": usage})
            case _:
                pass

    def _fail(self, frame: Frame) -> None:
        kind = frame.headers.get(":exception-type") or frame.headers.get(":error-code") or ""
        told = problem_of(frame.payload, kind) if frame.payload else None
        self.problem = told or Problem(
            frame.headers.get(":error-message") or kind or _GARBAGE.message, code=kind or None
        )

    def _start(self, index: int, tool_use: _ToolUse, chunks: list[Chunk]) -> None:
        if tool_use.type is not None:  # what the server's own tools do is no call of the caller's
            return
        number = self._calls[index] = len(self._calls)
        function = {"name": tool_use.name, "arguments": ""}
        call = {"index": number, "id": tool_use.toolUseId, "type": "function", "function": function}
        chunks.append(_chunk(self._model, {"tool_calls": [call]}))

    def _go_on(self, index: int, delta: _Content, chunks: list[Chunk]) -> None:
        if delta.text:
            chunks.append(_chunk(self._model, {"content": delta.text}))
        elif delta.tool_use is not None and index in self._calls:
            if piece := _text.decode(delta.tool_use.input):
                self._argue(index, piece, chunks)
        elif (reasoning := delta.reasoning_content) is not None:
            if reasoning.redacted_content is not None:
                detail = sealed(reasoning.redacted_content, self._thought_count)
                chunks.append(_chunk(self._model, {"reasoning_details": [detail]}))
                self._thought_count += 1
                return
            if index not in self._thoughts:
                self._thoughts[index] = _Thought(self._thought_count)
                self._thought_count += 1
            thought = self._thoughts[index]
            thought.signature += reasoning.signature or ""
            if reasoning.text:
                thought.text += reasoning.text
                chunks.append(_chunk(self._model, {"reasoning_content": reasoning.text}))

    def _stop(self, index: int, chunks: list[Chunk]) -> None:
        thought = self._thoughts.pop(index, None)
        if thought is not None:
            detail = signed(thought.text, thought.signature, thought.number)
            chunks.append(_chunk(self._model, {"reasoning_details": [detail]}))
        elif index in self._calls and index not in self._written:
            self._argue(index, "{}", chunks)

    def _argue(self, index: int, piece: str, chunks: list[Chunk]) -> None:
        self._written.add(index)
        call = {"index": self._calls[index], "function": {"arguments": piece}}
        chunks.append(_chunk(self._model, {"tool_calls": [call]}))


class Gathered:
    """Reads an answer that is no stream."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._parts: list[bytes] = []
        self.usage = b""
        self.problem: Problem | None = None

    def feed(self, data: bytes) -> list[Chunk]:
        """Nothing is whole before the end."""
        self._parts.append(data)
        return []

    def end(self) -> list[Chunk]:
        """The whole answer."""
        body = b"".join(self._parts)
        try:
            answer = _whole.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.problem = problem_of(body) or _GARBAGE
            return []
        self.usage = bytes(answer.usage) if bytes(answer.usage) != b"null" else b""
        choice = {"message": _message(answer.output.message.content), **_ending(answer.stop_reason)}
        chunk: Chunk = {**_chunk(self._model, {}), "object": "chat.completion", "choices": [choice]}
        if usage := as_chat(as_messages(self.usage)):
            chunk["usage"] = usage
        return [chunk]


def _chunk(model: str, delta: dict[str, Any]) -> Chunk:
    return {
        "id": "",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }


def _ending(reason: str) -> dict[str, Any]:
    ending: dict[str, Any] = {"index": 0, "finish_reason": _REASONS.get(reason, "stop")}
    if reason in _ANTHROPICS:
        ending[ANTHROPIC] = {"stop_reason": reason, "stop_sequence": None}
    return ending


def _message(blocks: list[_Content]) -> dict[str, Any]:
    texts: list[str] = []
    details: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        if block.text is not None:
            texts.append(block.text)
        elif block.citations_content is not None:
            texts += [part.text for part in block.citations_content.content]
        elif (call := block.tool_use) is not None and call.type is None:
            function = {"name": call.name, "arguments": bytes(call.input).decode()}
            calls.append({"id": call.toolUseId, "type": "function", "function": function})
        elif (reasoning := block.reasoning_content) is not None:
            if reasoning.redacted_content is not None:
                details.append(sealed(reasoning.redacted_content, len(details)))
            elif (thought := reasoning.reasoning_text) is not None:
                details.append(signed(thought.text, thought.signature or "", len(details)))
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    if thoughts := "".join(str(detail.get("text", "")) for detail in details):
        message["reasoning_content"] = thoughts
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    return message
