"""A whole answer as the stream of events that the same server would have sent. Pure.

Folded again, the stream gives the answer it was made of.
"""

from collections.abc import Iterator
from typing import Any, TypeGuard

import msgspec

from rondel.gateway.dialects.events import DONE_EVENT, event_of
from rondel.gateway.models import Operation

PIECE = 1_000
"""Characters of one piece of a text."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_IN_STREAM = {"chat.completion": "chat.completion.chunk", "text_completion": "text_completion"}
_TEXTS = ("reasoning_content", "reasoning", "content")
_OF_THE_END = frozenset({"index", "message", "text", "logprobs", "finish_reason"})


def replay(body: bytes, operation: Operation, *, wants_usage: bool) -> bytes:
    """The events of an answer, `[DONE]` included; the usage stands in the last of them where it is wanted."""
    answer = _decode(body)
    choices = _objects(answer.pop("choices", None))
    usage = answer.pop("usage", None)
    if "object" in answer:
        answer["object"] = _IN_STREAM.get(answer["object"], answer["object"])
    pieces = _chat if operation is Operation.CHAT else _completion
    events = [event_of(_encode({**answer, "choices": [piece]})) for choice in choices for piece in pieces(choice)]
    if wants_usage and usage is not None:
        events.append(event_of(_encode({**answer, "choices": [], "usage": usage})))
    return b"".join(events) + DONE_EVENT


def _chat(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The role with all that is no text; the texts piece by piece; the calls of tools; the end."""
    index, message = choice.get("index", 0), choice.get("message")
    message = message if _is_object(message) else {}
    texts = {name: value for name in _TEXTS if isinstance(value := message.get(name), str)}
    calls = _objects(message.get("tool_calls"))
    first = {name: value for name, value in message.items() if name not in texts and name != "tool_calls"}
    yield _piece(index, {"role": "assistant", **first})
    logprobs = choice.get("logprobs")
    for name, text in texts.items():
        for part in _cut(text):
            piece = _piece(index, {name: part})
            if logprobs is not None and name == "content":
                piece["logprobs"], logprobs = logprobs, None  # all of them with the first piece
            yield piece
    for position, call in enumerate(calls):
        yield _piece(index, {"tool_calls": [{"index": position, **call}]})
    yield _end(choice, _piece(index, {}), logprobs)


def _completion(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    index, logprobs = choice.get("index", 0), choice.get("logprobs")
    for part in _cut(str(choice.get("text") or "")):
        yield {"index": index, "text": part, "logprobs": logprobs, "finish_reason": None}
        logprobs = None
    yield _end(choice, {"index": index, "text": ""}, logprobs)


def _piece(index: object, delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": None}


def _end(choice: dict[str, Any], piece: dict[str, Any], logprobs: object) -> dict[str, Any]:
    """The last piece of a choice, with whatever else it holds."""
    rest = {name: value for name, value in choice.items() if name not in _OF_THE_END}
    return {**piece, **rest, "logprobs": logprobs, "finish_reason": choice.get("finish_reason")}


def _cut(text: str) -> Iterator[str]:
    """Pieces of a text; an empty one is one piece."""
    for begin in range(0, max(len(text), 1), PIECE):
        yield text[begin : begin + PIECE]


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if _is_object(item)] if _is_list(value) else []


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
