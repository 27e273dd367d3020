"""Reads a server's response, streamed or whole, as chat completions."""

from collections.abc import Callable
from typing import Any

import msgspec

from rondel.gateway.dialects.events import DONE, Events, data_of
from rondel.gateway.dialects.responses.shapes import (
    OPENAI_REASONING,
    count_of,
    object_of,
    objects_of,
    text_of,
    usage_to_chat,
)
from rondel.gateway.ports import Chunk, Problem

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
_SILENT = Problem("The server's answer is not JSON.", "server_error")


class ResponsesDecoder:
    """Reads one answer. Where a server sends an item only when it is done, the item is read then.

    What chat completions cannot say (calls of tools that the server ran itself) is left out of the chunks; how often
    it searched the web stands in `usage` under `tool_usage`, as OpenAI tells it in the response.
    """

    def __init__(self, *, is_stream: bool) -> None:
        self._is_stream = is_stream
        self._events = Events()
        self._body: list[bytes] = []
        self._head: Chunk = {}
        self._usage = b""
        self._problem: Problem | None = None
        self._told: set[tuple[object, str]] = set()
        self._done: set[object] = set()
        self._calls: dict[object, int] = {}
        self._readers: dict[str, Callable[[Chunk], list[Chunk]]] = {
            "response.created": self._on_response,
            "response.in_progress": self._on_response,
            "response.output_text.delta": lambda event: self._text(event, "content"),
            "response.refusal.delta": lambda event: self._text(event, "refusal"),
            "response.reasoning_text.delta": lambda event: self._text(event, "reasoning_content"),
            "response.reasoning_summary_part.added": self._on_summary_part,
            "response.reasoning_summary_text.delta": lambda event: self._text(event, "reasoning_content"),
            "response.output_text.annotation.added": self._on_annotation,
            "response.output_item.added": self._on_item_added,
            "response.function_call_arguments.delta": self._on_arguments,
            "response.custom_tool_call_input.delta": self._on_arguments,
            "response.output_item.done": self._on_item_done,
            "response.completed": self._on_end,
            "response.incomplete": self._on_end,
            "response.failed": self._on_failed,
            "error": self._on_error,
        }

    @property
    def usage(self) -> bytes:
        """The usage as the server told it."""
        return self._usage

    @property
    def problem(self) -> Problem | None:
        """The failure that the response told."""
        return self._problem

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks of the events that `data` completes."""
        if not self._is_stream:
            self._body.append(data)
            return []
        return [chunk for event in self._events.feed(data) for chunk in self._read(data_of(event))]

    def end(self) -> list[Chunk]:
        """The rest of a stream; or the whole answer."""
        if self._is_stream:
            left = self._events.end()
            return self._read(data_of(left + b"\n\n")) if left.strip() else []
        try:
            response = _decode(b"".join(self._body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._problem = _SILENT
            return []
        return self._whole(response)

    def _read(self, data: bytes) -> list[Chunk]:
        if not data or data == DONE:
            return []
        try:
            event = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []
        reader = self._readers.get(text_of(event.get("type")))
        return reader(event) if reader is not None else []

    def _whole(self, response: Chunk) -> list[Chunk]:
        """One `chat.completion`: what the items tell as pieces, put together."""
        if response.get("error"):
            self._problem = _problem(object_of(response.get("error")))
            return []
        message: Chunk = {"role": "assistant", "content": None}
        chunks = self._on_end({"response": response})
        finish = ""
        for chunk in chunks:
            for choice in objects_of(chunk.get("choices")):
                _merge(message, object_of(choice.get("delta")))
                finish = text_of(choice.get("finish_reason")) or finish
        choice = {"index": 0, "message": message, "finish_reason": finish}
        usage = chunks[-1].get("usage") if chunks else None
        return [{**self._head, "object": "chat.completion", "choices": [choice], "usage": usage}]

    # Events

    def _on_response(self, event: Chunk) -> list[Chunk]:
        """The head of all chunks; the first of them tells the role."""
        is_first = not self._head
        response = object_of(event.get("response"))
        self._head = {
            "id": text_of(response.get("id")),
            "object": "chat.completion.chunk",
            "created": int(float(response.get("created_at") or 0)),
            "model": text_of(response.get("model")),
        }
        if tier := text_of(response.get("service_tier")):
            self._head["service_tier"] = tier
        return [self._delta({"role": "assistant", "content": ""})] if is_first else []

    def _text(self, event: Chunk, name: str) -> list[Chunk]:
        text = text_of(event.get("delta"))
        self._told.add((event.get("output_index"), name))
        return [self._delta({name: text})] if text else []

    def _on_summary_part(self, event: Chunk) -> list[Chunk]:
        """A summary's parts are paragraphs."""
        return [self._delta({"reasoning_content": "\n\n"})] if count_of(event.get("summary_index")) else []

    def _on_annotation(self, event: Chunk) -> list[Chunk]:
        self._told.add((event.get("output_index"), "annotations"))
        return [self._delta({"annotations": [_annotation(object_of(event.get("annotation")))]})]

    def _on_item_added(self, event: Chunk) -> list[Chunk]:
        item, place = object_of(event.get("item")), event.get("output_index")
        if item.get("type") not in {"function_call", "custom_tool_call"} or place in self._calls:
            return []
        self._calls[place] = index = len(self._calls)
        name = {"name": text_of(item.get("name"))}
        is_custom = item.get("type") == "custom_tool_call"
        call: Chunk = {
            "index": index,
            "id": text_of(item.get("call_id")),
            "type": "custom" if is_custom else "function",
        }
        call |= {"custom": {**name, "input": ""}} if is_custom else {"function": {**name, "arguments": ""}}
        return [self._delta({"tool_calls": [call]})]

    def _on_arguments(self, event: Chunk) -> list[Chunk]:
        place, piece = event.get("output_index"), text_of(event.get("delta"))
        self._told.add((place, "arguments"))
        if place not in self._calls or not piece:
            return []
        is_custom = event.get("type") == "response.custom_tool_call_input.delta"
        inner = {"custom": {"input": piece}} if is_custom else {"function": {"arguments": piece}}
        return [self._delta({"tool_calls": [{"index": self._calls[place], **inner}]})]

    def _on_item_done(self, event: Chunk) -> list[Chunk]:
        """What of the item was not told before."""
        item, place = object_of(event.get("item")), event.get("output_index")
        if place in self._done:
            return []
        self._done.add(place)
        match item.get("type"):
            case "message":
                return self._message_rest(item, place)
            case "reasoning":
                return self._reasoning_rest(item, place)
            case "function_call" | "custom_tool_call":
                added = self._on_item_added(event)
                if (place, "arguments") in self._told:
                    return added
                is_custom = item.get("type") == "custom_tool_call"
                kind = "custom_tool_call_input" if is_custom else "function_call_arguments"
                whole = item.get("input" if is_custom else "arguments")
                told = {"type": f"response.{kind}.delta", "output_index": place, "delta": whole}
                return added + self._on_arguments(told)
            case _:
                return []

    def _message_rest(self, item: Chunk, place: object) -> list[Chunk]:
        chunks: list[Chunk] = []
        for part in objects_of(item.get("content")):
            told = {"output_index": place, "delta": part.get("text") or part.get("refusal")}
            name = "refusal" if part.get("type") == "refusal" else "content"
            if (place, name) not in self._told:
                chunks += self._text(told, name)
                self._told.discard((place, name))  # a message may have several parts
            if (place, "annotations") not in self._told and (found := objects_of(part.get("annotations"))):
                chunks.append(self._delta({"annotations": [_annotation(one) for one in found]}))
        return chunks

    def _reasoning_rest(self, item: Chunk, place: object) -> list[Chunk]:
        chunks: list[Chunk] = []
        if (place, "reasoning_content") not in self._told:
            parts = objects_of(item.get("content")) or objects_of(item.get("summary"))
            if text := "\n\n".join(text_of(part.get("text")) for part in parts):
                chunks.append(self._delta({"reasoning_content": text}))
        if content := text_of(item.get("encrypted_content")):
            detail = {"type": "reasoning.encrypted", "data": content, "id": item.get("id"), "format": OPENAI_REASONING}
            chunks.append(self._delta({"reasoning_details": [detail]}))
        return chunks

    def _on_end(self, event: Chunk) -> list[Chunk]:
        """Items that came in no event, the finish reason, and the usage."""
        response = object_of(event.get("response"))
        chunks = self._on_response(event)
        for place, item in enumerate(objects_of(response.get("output"))):
            chunks += self._on_item_done({"item": item, "output_index": place})
        reason = text_of(object_of(response.get("incomplete_details")).get("reason"))
        if response.get("status") == "incomplete":
            finish = _FINISH.get(reason, "length")
        else:
            finish = "tool_calls" if self._calls else "stop"
        chunks.append({**self._head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        return chunks + self._take_usage(response)

    def _take_usage(self, response: Chunk) -> list[Chunk]:
        usage = object_of(response.get("usage"))
        if not usage:
            return []
        tools = object_of(response.get("tool_usage"))
        searches = count_of(object_of(tools.get("web_search")).get("num_requests"))
        if not searches:
            searches = sum(map(_is_search, objects_of(response.get("output"))))
        told = {**usage, "tool_usage": {**tools, "web_search": {"num_requests": searches}}} if searches else usage
        self._usage = _encode(told)
        return [{**self._head, "choices": [], "usage": usage_to_chat(usage)}]

    def _on_failed(self, event: Chunk) -> list[Chunk]:
        response = object_of(event.get("response"))
        self._problem = _problem(object_of(response.get("error")))
        return self._take_usage(response)

    def _on_error(self, event: Chunk) -> list[Chunk]:
        self._problem = _problem(object_of(event.get("error")) or event)
        return []

    def _delta(self, delta: Chunk) -> Chunk:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def _is_search(item: Chunk) -> bool:
    """Opening a page that was found is no search, and is not charged."""
    action = text_of(object_of(item.get("action")).get("type"))
    return item.get("type") == "web_search_call" and action in {"", "search"}


def _problem(error: Chunk) -> Problem:
    code = text_of(error.get("code")) or None
    kind = text_of(error.get("type"))
    message = text_of(error.get("message")) or "The server says that the response failed."
    return Problem(
        message, "server_error" if kind in {"", "error"} else kind, code, text_of(error.get("param")) or None
    )


def _annotation(annotation: Chunk) -> Chunk:
    kind = text_of(annotation.get("type"))
    return {"type": kind, kind: {name: value for name, value in annotation.items() if name != "type"}}


def _merge(message: Chunk, delta: Chunk) -> None:
    """Put a piece into a whole message."""
    for name, value in delta.items():
        if name == "tool_calls":
            calls: list[Chunk] = message.setdefault("tool_calls", [])
            for call in objects_of(value):
                _merge_call(calls, call)
        elif isinstance(value, list):
            message.setdefault(name, []).extend(value)
        elif name != "role" and value:
            message[name] = text_of(message.get(name)) + text_of(value)


def _merge_call(calls: list[Chunk], piece: Chunk) -> None:
    place = count_of(piece.get("index"))
    if place == len(calls):
        calls.append({name: value for name, value in piece.items() if name != "index"})
        return
    for kind, name in (("function", "arguments"), ("custom", "input")):
        if kind in piece:
            inner = calls[place][kind]
            inner[name] += text_of(object_of(piece[kind]).get(name))
