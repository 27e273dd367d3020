"""Folds the pieces of a streamed answer into the answer that the same server gives unstreamed.

Every field is kept, known or not: texts are joined, lists are continued, of other values the last one that is not null
counts. What exists in streams only is left out.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from rondel.gateway.costing import find_usage
from rondel.gateway.dialects.events import DONE
from rondel.gateway.models import Operation
from rondel.gateway.shapes import TextPiece, read_text_piece

_OBJECTS = {"chat.completion.chunk": "chat.completion", "text_completion.chunk": "text_completion"}
_FIRST_COUNTS = frozenset({"id", "created", "object", "model", "role", "type", "name"})
_STREAM_ONLY = frozenset({"obfuscation"})

_HOPES = 8
"""So many chunks one after the other that bring something else than text end the search for those that do not."""
_NOTHING: dict[str, Any] = {}
_HEAD = ("id", "object", "created", "model")
_PRINT = "system_fingerprint"
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Folded(msgspec.Struct, frozen=True, gc=False):
    """One answer and what is told of it. `body` is empty when there was no piece.

    `is_done` says that `[DONE]` came, `is_finished` that every choice has a finish reason; `error` is the JSON of an
    error that came as an event, `damaged` counts events that were no JSON object. `service` is how it was served, such
    as `flex`; empty where the server does not say.
    """

    body: bytes
    id: str
    model: str
    finish_reason: str
    usage: bytes
    service: str
    is_done: bool
    is_finished: bool
    error: bytes
    damaged: int


EMPTY = Folded(b"", "", "", "", b"", "", is_done=False, is_finished=False, error=b"", damaged=0)
"""Where nothing came."""


class Folding:
    """The answer that the chunks of a stream come to, as they come."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._answer: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._usage: Mapping[str, Any] | None = None
        self._texts: list[str] = []
        """What is to be joined to the text of `_message`."""
        self._message: dict[str, Any] = {}

    def add_text(self, piece: TextPiece) -> bool:
        """The next chunk, where it says nothing new but more text; False when it has to be looked at in full."""
        brought = piece.choices[0]
        choice = self._choices.get(brought.index, _NOTHING)
        message: object = choice.get("message")
        if not _is_object(message) or not self._is_known(piece, choice, message):
            return False
        if message is not self._message:
            self._join_texts()
            self._message = message
        self._texts.append(brought.delta.content)
        return True

    def _is_known(self, piece: TextPiece, choice: dict[str, Any], message: dict[str, Any]) -> bool:
        """Whether every name in the chunk is there already and would keep its value, and a text that can go on."""
        answer, brought, held = self._answer, piece.choices[0], message.get("content")
        delta = brought.delta
        return (
            bool(held and isinstance(held, str))
            and all(map(answer.get, _HEAD))
            and (piece.system_fingerprint is UNSET or piece.system_fingerprint == answer.get(_PRINT, UNSET))
            and (piece.service_tier is UNSET or piece.service_tier == answer.get("service_tier", UNSET))
            and (brought.finish_reason is UNSET or "finish_reason" in choice)
            and (brought.logprobs is UNSET or "logprobs" in choice)
            and (delta.role is UNSET or bool(message.get("role")))
            and (delta.refusal is UNSET or "refusal" in message)
            and (delta.reasoning_content is UNSET or "reasoning_content" in message)
        )

    def _join_texts(self) -> None:
        if self._texts:
            self._message["content"] += "".join(self._texts)
            self._texts = []

    def add(self, chunk: dict[str, Any], *, may_tell_usage: bool = True) -> None:
        """The next chunk."""
        self._join_texts()
        _add(self._answer, self._choices, chunk)
        if may_tell_usage:
            self._usage = find_usage(chunk) or self._usage

    def end(self, *, is_done: bool = False, error: bytes = b"", damaged: int = 0) -> Folded:
        """What came of it."""
        self._join_texts()
        usage = _encode(self._usage) if self._usage else b""
        told = replace(EMPTY, is_done=is_done, error=error, damaged=damaged, usage=usage)
        return _folded(self._answer, self._choices, self._operation, told)


def fold(pieces: Iterable[bytes], operation: Operation) -> Folded:
    """The answer of a stream, given the data of its events in order."""
    folding = Folding(operation)
    is_done, damaged = False, 0
    error = b""
    hopes = _HOPES
    for piece in pieces:
        if not piece:
            continue
        if piece == DONE:
            is_done = True
            continue
        if hopes:
            try:
                if folding.add_text(read_text_piece(piece)):
                    hopes = _HOPES
                    continue
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                hopes -= 1
        try:
            chunk = _decode(piece)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            damaged += 1
            continue
        if chunk.get("error") and not chunk.get("choices"):
            error = _encode(chunk["error"])
            continue
        folding.add(chunk, may_tell_usage=b'usage"' in piece or b'"timings"' in piece)
    return folding.end(is_done=is_done, error=error, damaged=damaged)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _add(answer: dict[str, Any], choices: dict[int, dict[str, Any]], chunk: dict[str, Any]) -> None:
    for name, value in chunk.items():
        if name == "choices":
            answer.setdefault("choices", [])
            for piece in value if _is_list(value) else []:
                if _is_object(piece):
                    _add_choice(choices, piece)
        elif name in _STREAM_ONLY or (name in _FIRST_COUNTS and answer.get(name)):
            continue
        elif value is not None or name not in answer:
            answer[name] = _OBJECTS.get(str(value), value) if name == "object" else value


def _add_choice(choices: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    choice = choices.setdefault(_index(piece, 0), {})
    for name, value in piece.items():
        if name == "delta":
            message = choice.setdefault("message", {})
            if _is_object(value):
                _join(message, value)
        elif name == "index":
            choice[name] = value
        else:
            _put(choice, name, value)


def _join(into: dict[str, Any], piece: dict[str, Any]) -> None:
    for name, value in piece.items():
        if name == "tool_calls" and _is_list(value):
            calls = _calls(into.get(name))
            into[name] = calls
            for position, call in enumerate(value):
                if _is_object(call):
                    known = calls.setdefault(_index(call, position), {})
                    _join(known, {key: part for key, part in call.items() if key != "index"})
        else:
            _put(into, name, value)


def _calls(held: Any) -> dict[int, dict[str, Any]]:
    """The calls so far, by their place."""
    return held or {}


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    """Join one value to what is there under its name."""
    held: Any = into.get(name)
    if held is None:
        into[name] = value
    elif value is None or name in _FIRST_COUNTS:
        return
    elif _is_object(held) and _is_object(value):
        _join(held, value)
    elif _is_list(held) and _is_list(value):
        held.extend(value)
    elif isinstance(held, str) and isinstance(value, str) and name != "finish_reason":
        into[name] = held + value
    else:
        into[name] = value


def _index(piece: dict[str, Any], default: int) -> int:
    index = piece.get("index", default)
    return index if isinstance(index, int) else default


def _folded(answer: dict[str, Any], choices: dict[int, dict[str, Any]], operation: Operation, told: Folded) -> Folded:
    if not answer and not choices:
        return told
    if answer.get("usage", 0) is None:
        del answer["usage"]
    for choice in choices.values():
        message: Any = choice.get("message")
        if _is_object(message):
            message.setdefault("role", "assistant")
            message.setdefault("content", None)
            calls = _calls(message.get("tool_calls"))
            if calls:
                message["tool_calls"] = [calls[index] for index in sorted(calls)]
    ordered = [choices[index] for index in sorted(choices)]
    if operation is not Operation.EMBEDDING:
        answer["choices"] = ordered
    reasons = [choice.get("finish_reason") for choice in ordered]
    return replace(
        told,
        body=_encode(answer),
        id=_text(answer.get("id")),
        model=_text(answer.get("model")),
        finish_reason=_text(reasons[0]) if reasons else "",
        service=_text(answer.get("service_tier")),
        is_finished=bool(reasons) and all(reasons),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
