"""The items of a response's `output` while they grow, each as the events that tell it.

Events have no `sequence_number` yet. Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from enum import StrEnum
from typing import Any

from rondel.gateway.dialects.responses.shapes import details_text, join_details, objects_of, pack, text_of
from rondel.gateway.dialects.responses.tools import Named, unwrapped

Event = dict[str, Any]


class Status(StrEnum):
    """How far an item or a response has come."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


class Item:
    """What every item is: its place, its id, and whether it is closed."""

    def __init__(self, index: int, item_id: str) -> None:
        self.index, self.id = index, item_id
        self.status = Status.IN_PROGRESS

    def shown(self) -> dict[str, Any]:
        """The item as it stands."""
        raise NotImplementedError

    def finish(self) -> list[Event]:
        """What is told before the item is done."""
        raise NotImplementedError

    def opened(self) -> Event:
        """The item's first event."""
        return {"type": "response.output_item.added", "output_index": self.index, "item": self.shown()}

    def close(self, status: Status) -> list[Event]:
        """The item's last events; nothing the second time."""
        if self.status is not Status.IN_PROGRESS:
            return []
        events = self.finish()
        self.status = status
        done = {"type": "response.output_item.done", "output_index": self.index, "item": self.shown()}
        return [*events, done]

    def event(self, kind: str, **told: object) -> Event:
        """An event about this item."""
        return {"type": f"response.{kind}", "item_id": self.id, "output_index": self.index, **told}


class _Part:
    """A part of a message: a text or a refusal."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.logprobs: list[Any] = []
        self.annotations: list[Any] = []

    def shown(self) -> dict[str, Any]:
        text = "".join(self.pieces)
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": self.annotations, "logprobs": self.logprobs}


class Message(Item):
    """The assistant's message: texts and refusals."""

    def __init__(self, index: int, item_id: str) -> None:
        super().__init__(index, item_id)
        self._parts: list[_Part] = []

    def shown(self) -> dict[str, Any]:
        """A `ResponseOutputMessage`."""
        content = [part.shown() for part in self._parts]
        return {"id": self.id, "type": "message", "status": self.status, "role": "assistant", "content": content}

    def text(self, delta: str, logprobs: list[Any]) -> list[Event]:
        """More text."""
        events = self._part("output_text")
        part = self._parts[-1]
        part.pieces.append(delta)
        part.logprobs += logprobs
        at = len(self._parts) - 1
        return [*events, self.event("output_text.delta", content_index=at, delta=delta, logprobs=logprobs)]

    def refusal(self, delta: str) -> list[Event]:
        """More of a refusal."""
        events = self._part("refusal")
        self._parts[-1].pieces.append(delta)
        return [*events, self.event("refusal.delta", content_index=len(self._parts) - 1, delta=delta)]

    def annotate(self, annotation: dict[str, Any]) -> list[Event]:
        """A source of the text: chat completions hold its fields in an object of the annotation's type."""
        kind = text_of(annotation.get("type"))
        inner = annotation.get(kind)
        plain: dict[str, Any] = {"type": kind, **inner} if isinstance(inner, dict) else annotation
        events = self._part("output_text")
        part = self._parts[-1]
        part.annotations.append(plain)
        told = {"content_index": len(self._parts) - 1, "annotation_index": len(part.annotations) - 1}
        return [*events, self.event("output_text.annotation.added", **told, annotation=plain)]

    def finish(self) -> list[Event]:
        """The part that is open is done."""
        if not self._parts:
            return []
        at, shown = len(self._parts) - 1, self._parts[-1].shown()
        if shown["type"] == "refusal":
            done = self.event("refusal.done", content_index=at, refusal=shown["refusal"])
        else:
            done = self.event("output_text.done", content_index=at, text=shown["text"], logprobs=shown["logprobs"])
        return [done, self.event("content_part.done", content_index=at, part=shown)]

    def _part(self, kind: str) -> list[Event]:
        """Open a part of that kind, unless it is the one that is open."""
        if self._parts and self._parts[-1].kind == kind:
            return []
        before = self.finish()
        part = _Part(kind)
        self._parts.append(part)
        return [*before, self.event("content_part.added", content_index=len(self._parts) - 1, part=part.shown())]


class Reasoning(Item):
    """What the model thought: its summary when the caller asked for one, else its text."""

    def __init__(self, index: int, item_id: str, *, is_summary: bool) -> None:
        super().__init__(index, item_id)
        self._is_summary = is_summary
        self._pieces: list[str] = []
        self._details: list[dict[str, Any]] = []

    def shown(self) -> dict[str, Any]:
        """A `ResponseReasoningItem`."""
        shown: dict[str, Any] = {"id": self.id, "type": "reasoning", "summary": [], "status": self.status}
        if self._pieces:
            shown["summary" if self._is_summary else "content"] = [self._part("".join(self._pieces))]
        if (content := pack(self._details)) is not None:
            shown["encrypted_content"] = content
        return shown

    def text(self, delta: str) -> list[Event]:
        """More text."""
        events: list[Event] = []
        if not self._pieces:
            events.append(self._about("part.added", part=self._part("")))
        self._pieces.append(delta)
        return [*events, self._about("text.delta", delta=delta)]

    def details(self, details: list[dict[str, Any]]) -> None:
        """More of what the server wants back; it is told when the item is done."""
        join_details(self._details, details)

    def finish(self) -> list[Event]:
        """The text is done."""
        if not self._pieces:
            return []
        text = "".join(self._pieces)
        return [self._about("text.done", text=text), self._about("part.done", part=self._part(text))]

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "summary_text" if self._is_summary else "reasoning_text", "text": text}

    def _about(self, what: str, **told: object) -> Event:
        if self._is_summary:
            return self.event(f"reasoning_summary_{what}", summary_index=0, **told)
        kind = f"content_{what}" if what.startswith("part") else f"reasoning_{what}"
        return self.event(kind, content_index=0, **told)


class ToolCall(Item):
    """A call of a function, or of a custom tool: that one's input is told when it is whole."""

    def __init__(self, index: int, item_id: str, call_id: str, called: Named, *, is_wrapped: bool) -> None:
        super().__init__(index, item_id)
        self.call_id, self._called, self._is_wrapped = call_id, called, is_wrapped
        self._pieces: list[str] = []

    def shown(self) -> dict[str, Any]:
        """A `ResponseFunctionToolCall` or a `ResponseCustomToolCall`."""
        called = self._called
        shown: dict[str, Any] = {"id": self.id, "call_id": self.call_id, "name": called.name, "status": self.status}
        if called.namespace:
            shown["namespace"] = called.namespace
        if called.is_custom:
            return {**shown, "type": "custom_tool_call", "input": self._input()}
        return {**shown, "type": "function_call", "arguments": "".join(self._pieces)}

    def more(self, delta: str) -> list[Event]:
        """More of the arguments."""
        if not delta:
            return []
        self._pieces.append(delta)
        return [] if self._called.is_custom else [self.event("function_call_arguments.delta", delta=delta)]

    def finish(self) -> list[Event]:
        """The arguments are done."""
        if self._called.is_custom:
            text = self._input()
            delta = [self.event("custom_tool_call_input.delta", delta=text)] if text else []
            return [*delta, self.event("custom_tool_call_input.done", input=text)]
        told = "".join(self._pieces)
        return [self.event("function_call_arguments.done", name=self._called.name, arguments=told)]

    def _input(self) -> str:
        text = "".join(self._pieces)
        return unwrapped(text) if self._is_wrapped and text else text


def reasoning_of(delta: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The text and the details of the reasoning in a message or in a piece of one, as servers write them.

    `reasoning_content` is DeepSeek's, vLLM's and others', `reasoning` and `reasoning_details` OpenRouter's; Mistral
    puts `thinking` parts among the content.
    """
    details = objects_of(delta.get("reasoning_details"))
    text = text_of(delta.get("reasoning_content")) or text_of(delta.get("reasoning")) or details_text(details)
    for part in objects_of(delta.get("content")):
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            text += inner if isinstance(inner, str) else "".join(text_of(one.get("text")) for one in objects_of(inner))
    return text, details


def content_of(delta: dict[str, Any]) -> str:
    """The text of a message or of a piece of one: a string, or the text parts of a list."""
    content = delta.get("content")
    if isinstance(content, str):
        return content
    return "".join(text_of(part.get("text")) for part in objects_of(content) if part.get("type") == "text")
