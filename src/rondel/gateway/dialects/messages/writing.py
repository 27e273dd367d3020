"""Answers in OpenAI's chat completions, written as the Messages API gives them.

A message has one block open at a time. Tool calls that a server streams side by side are written one after the other;
a text that comes in the midst of a call waits for its end.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from typing import Any, Literal

import msgspec

from rondel.gateway.dialects.messages.problems import error_body
from rondel.gateway.dialects.messages.thoughts import FORMAT, SEALED, TEXT
from rondel.gateway.dialects.messages.usage import from_chat
from rondel.gateway.ports import Chunk, Problem
from rondel.gateway.rules import raw

_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ENDED: dict[str, Any] = {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None}
_BLOCKS: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}
_Kind = Literal["", "text", "thinking", "tool_use"]


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Detail(msgspec.Struct):
    type: str = ""
    text: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""


class _Said(msgspec.Struct):
    """A delta, or a message. Servers call thoughts `reasoning_content` or `reasoning`."""

    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[_Detail] | None = None
    tool_calls: list[_Call] | None = None

    @property
    def text(self) -> str:
        """What it says, a refusal included."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content if part.type == "text")
        return (self.content or "") + (self.refusal or "")

    @property
    def details(self) -> list[_Detail]:
        """What of its thoughts has to come back, when it is Anthropic's."""
        return [
            detail
            for detail in self.reasoning_details or []
            if detail.format in (FORMAT, None) and (detail.data is not None or detail.signature is not None)
        ]

    @property
    def thought(self) -> str:
        """The text of its thoughts."""
        told = self.reasoning_content or self.reasoning
        if told:
            return told
        return "".join(detail.text or "" for detail in self.reasoning_details or [] if detail.signature is None)


class _Ended(msgspec.Struct):
    stop_reason: str = ""
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None


class _Choice(msgspec.Struct):
    """`stop_reason` is vLLM's: the string at which the answer stopped."""

    index: int = 0
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    anthropic: _Ended | None = None


class _Answer(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None


class _Pending(msgspec.Struct):
    """A tool call: what came of it, and how much of that is written."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    written: int = 0
    is_over: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are the text of a JSON value."""
        try:
            msgspec.json.decode(self.arguments)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class MessagesWriter:
    """Writes one answer; `model` is told when the answer names none."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._id = ""
        self._has_begun = False
        self._open: _Kind = ""
        self._blocks = 0
        self._calls: dict[int, _Pending] = {}
        self._writing: _Pending | None = None
        self._waiting: list[_Said] = []
        self._has_refused = False
        self._ending: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """Events for one chunk; those for what ends a stream come with `end`."""
        try:
            told = msgspec.convert(chunk, _Answer)
        except msgspec.ValidationError:
            return b""
        out: list[bytes] = []
        if not self._has_begun and told.choices:  # what has none tells of filters or usage, and may name no answer
            self._begin(told, out)
        self._usage = told.usage or self._usage
        for choice in told.choices or []:
            if choice.index != 0:
                continue
            if choice.delta is not None:
                self._say(choice.delta, out)
            if choice.finish_reason is not None:
                self._finish(out)
                self._ending = _ending(choice, has_calls=bool(self._calls), has_refused=self._has_refused)
        return b"".join(out)

    def end(self) -> bytes:
        """Why it stopped, what it used, and the last event."""
        out: list[bytes] = []
        if not self._has_begun:
            self._begin(_Answer(), out)
        self._finish(out)
        ending = self._ending or _ENDED
        out.append(_event("message_delta", {"delta": ending, "usage": from_chat(self._usage)}))
        out.append(_event("message_stop", {}))
        return b"".join(out)

    def broken(self, problem: Problem) -> bytes:
        """The error event; the client raises what it says."""
        return b"event: error\ndata: %b\n\n" % error_body(0, problem)

    def whole(self, answer: Chunk) -> bytes:
        """The message; an answer that has not the shape of one is an empty message."""
        try:
            told = msgspec.convert(answer, _Answer)
        except msgspec.ValidationError:
            told = _Answer()
        choice = next((choice for choice in told.choices or [] if choice.index == 0), _Choice())
        said = choice.message or _Said()
        content = _content(said, told.id or "")
        ending = _ending(choice, has_calls=bool(said.tool_calls), has_refused=bool(said.refusal))
        return bytes(raw({**_message(told, self._model), "content": content, **ending, "usage": from_chat(told.usage)}))

    def _begin(self, told: _Answer, out: list[bytes]) -> None:
        self._has_begun = True
        self._id = told.id or ""
        message = {**_message(told, self._model), "stop_reason": None, "stop_sequence": None}
        out.append(_event("message_start", {"message": {**message, "usage": from_chat(told.usage)}}))

    def _say(self, said: _Said, out: list[bytes]) -> None:
        self._has_refused = self._has_refused or bool(said.refusal)
        if said.text or said.thought or said.details:
            if self._writing is None or self._open != "tool_use" or self._writing.is_whole:
                self._tell_waiting(out)
                self._tell(said, out)
            else:
                self._waiting.append(said)
        for position, call in enumerate(said.tool_calls or []):
            self._call(call, position, out)

    def _tell(self, said: _Said, out: list[bytes]) -> None:
        if thought := said.thought:
            self._piece("thinking", thought, out)
        for detail in said.details:
            self._detail(detail, out)
        if text := said.text:
            self._piece("text", text, out)

    def _piece(self, kind: Literal["text", "thinking"], piece: str, out: list[bytes]) -> None:
        if self._open != kind:
            self._start(kind, _BLOCKS[kind], out)
        self._delta({"type": f"{kind}_delta", kind: piece}, out)

    def _delta(self, delta: dict[str, Any], out: list[bytes]) -> None:
        out.append(_event("content_block_delta", {"index": self._blocks - 1, "delta": delta}))

    def _detail(self, detail: _Detail, out: list[bytes]) -> None:
        if detail.type == SEALED and detail.data is not None:
            self._start("thinking", {"type": "redacted_thinking", "data": detail.data}, out)
            self._close(out)
        elif detail.type == TEXT:
            if self._open != "thinking":
                self._start("thinking", _BLOCKS["thinking"], out)
                if detail.text:
                    self._delta({"type": "thinking_delta", "thinking": detail.text}, out)
            if detail.signature:
                self._delta({"type": "signature_delta", "signature": detail.signature}, out)
            self._close(out)

    def _call(self, call: _Call, position: int, out: list[bytes]) -> None:
        number = position if call.index is None else call.index
        pending = self._calls.get(number)
        if pending is None:
            pending = self._calls[number] = _Pending(f"toolu_{self._id}_{number}")
        function = call.function or _Function()
        pending.id = call.id or pending.id
        pending.name = function.name or pending.name
        pending.arguments += function.arguments or ""
        self._write_calls(out, is_over=False)

    def _write_calls(self, out: list[bytes], *, is_over: bool) -> None:
        """Write what may be written: a call begins when the one before it is whole, or when all is over."""
        for pending in self._calls.values():
            if pending.is_over:
                continue
            if pending is not self._writing:
                if self._writing is not None and not (is_over or self._writing.is_whole):
                    return
                block: dict[str, Any] = {"type": "tool_use", "id": pending.id, "name": pending.name, "input": {}}
                self._start("tool_use", block, out)
                self._writing = pending
            if piece := pending.arguments[pending.written :]:
                pending.written = len(pending.arguments)
                self._delta({"type": "input_json_delta", "partial_json": piece}, out)

    def _finish(self, out: list[bytes]) -> None:
        """Write what waits, and close the open block."""
        self._write_calls(out, is_over=True)
        self._close(out)
        self._tell_waiting(out)
        self._close(out)

    def _tell_waiting(self, out: list[bytes]) -> None:
        waiting, self._waiting = self._waiting, []
        for said in waiting:
            self._tell(said, out)

    def _start(self, kind: _Kind, block: dict[str, Any], out: list[bytes]) -> None:
        self._close(out)
        self._open = kind
        out.append(_event("content_block_start", {"index": self._blocks, "content_block": block}))
        self._blocks += 1

    def _close(self, out: list[bytes]) -> None:
        if self._open:
            self._open = ""
            if self._writing is not None:
                self._writing.is_over = True
                self._writing = None
            out.append(_event("content_block_stop", {"index": self._blocks - 1}))


def _event(name: str, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), bytes(raw({"type": name, **fields})))


def _message(told: _Answer, model: str) -> dict[str, Any]:
    return {
        "id": told.id or "",
        "type": "message",
        "role": "assistant",
        "model": told.model or model,
        "content": [],
    }


def _ending(choice: _Choice, *, has_calls: bool, has_refused: bool) -> dict[str, Any]:
    if choice.anthropic is not None and choice.anthropic.stop_reason:
        return msgspec.to_builtins(choice.anthropic)
    reason = _REASONS.get(choice.finish_reason or "stop", "end_turn")
    if reason == "end_turn" and isinstance(choice.stop_reason, str):
        return {**_ENDED, "stop_reason": "stop_sequence", "stop_sequence": choice.stop_reason}
    if reason == "end_turn" and has_calls:
        reason = "tool_use"
    elif reason == "end_turn" and has_refused:
        reason = "refusal"
    return {**_ENDED, "stop_reason": reason}


def _content(said: _Said, answer_id: str) -> list[dict[str, Any]]:
    """The blocks of a message: thoughts, text, calls."""
    blocks: list[dict[str, Any]] = []
    for detail in said.details:
        if detail.type == SEALED:
            blocks.append({"type": "redacted_thinking", "data": detail.data})
        elif detail.type == TEXT:
            blocks.append({"type": "thinking", "thinking": detail.text or "", "signature": detail.signature or ""})
    if said.thought and not any(block["type"] == "thinking" for block in blocks):
        blocks.insert(0, {"type": "thinking", "thinking": said.thought, "signature": ""})
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    for position, call in enumerate(said.tool_calls or []):
        function = call.function or _Function()
        named = {"id": call.id or f"toolu_{answer_id}_{position}", "name": function.name or ""}
        blocks.append({"type": "tool_use", **named, "input": _input(function.arguments or "{}")})
    return blocks


def _input(arguments: str) -> object:
    """Arguments as an object; what a model wrote that is none stands under `arguments`."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        value = arguments
    return msgspec.Raw(arguments.encode()) if isinstance(value, dict) else {"arguments": value}
