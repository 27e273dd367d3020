"""Messages as APIs and SDKs write them, as `SpanMessage`s. Nothing here fails: what has no known shape becomes text."""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from rondel.chat import ToolCall
from rondel.telemetry.models import SpanMessage

_ENCODER = msgspec.json.Encoder(enc_hook=str)


def as_text(value: object) -> str:
    """Text as it is, nothing as nothing, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else _ENCODER.encode(value).decode()


def as_object(value: object) -> Mapping[str, object]:
    """A JSON object (its keys are strings), or an empty one."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def as_list(value: object) -> Sequence[object]:
    """A JSON array, or an empty one."""
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def parsed(value: object) -> object:
    """The value of JSON text; the text itself when it is none. Other values as they are."""
    if isinstance(value, str) and value[:1] in ("[", "{", '"'):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def openai_messages(value: object) -> tuple[SpanMessage, ...]:
    """The messages of a chat request in OpenAI's shape."""
    return tuple(openai_message(as_object(message)) for message in as_list(value))


def openai_message(message: Mapping[str, object], finish_reason: str = "") -> SpanMessage:
    """One message in OpenAI's shape.

    Source: https://platform.openai.com/docs/api-reference/chat/create
    """
    return SpanMessage(
        role=as_text(message.get("role")) or "user",
        text=content_text(message.get("content")) or as_text(message.get("refusal")),
        name=as_text(message.get("name")),
        reasoning=as_text(message.get("reasoning_content") or message.get("reasoning")),
        tool_calls=tuple(_openai_call(as_object(call)) for call in as_list(message.get("tool_calls"))),
        tool_call_id=as_text(message.get("tool_call_id")),
        finish_reason=finish_reason,
    )


def _openai_call(call: Mapping[str, object]) -> ToolCall:
    function = as_object(call.get("function") or call.get("custom"))
    given = function.get("arguments", function.get("input"))
    return ToolCall(as_text(call.get("id")), as_text(function.get("name")), as_text(given))


def responses_messages(body: Mapping[str, object]) -> tuple[SpanMessage, ...]:
    """What a request to OpenAI's Responses API says: its instructions, and each of its items.

    Source: https://platform.openai.com/docs/api-reference/responses/create
    """
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else as_list(given)
    found = [_responses_item(as_object(item)) for item in items]
    if instructions := as_text(body.get("instructions")):
        found.insert(0, SpanMessage("system", instructions))
    return tuple(found)


def responses_answer(body: Mapping[str, object]) -> tuple[SpanMessage, ...]:
    """The message of a response: its items are one answer."""
    items = [_responses_item(as_object(item)) for item in as_list(body.get("output"))]
    if not items:
        return ()
    message = SpanMessage(
        "assistant",
        "\n\n".join(item.text for item in items if item.text),
        reasoning="\n\n".join(item.reasoning for item in items if item.reasoning),
        tool_calls=tuple(call for item in items for call in item.tool_calls),
        finish_reason=as_text(as_object(body.get("incomplete_details")).get("reason") or body.get("status")),
    )
    return (message,)


def _responses_item(item: Mapping[str, object]) -> SpanMessage:
    match item.get("type"):
        case "function_call" | "custom_tool_call":
            given = item.get("arguments", item.get("input"))
            call = ToolCall(as_text(item.get("call_id")), as_text(item.get("name")), as_text(given))
            return SpanMessage("assistant", "", tool_calls=(call,))
        case "function_call_output" | "custom_tool_call_output":
            return SpanMessage("tool", content_text(item.get("output")), tool_call_id=as_text(item.get("call_id")))
        case "reasoning":
            told = as_list(item.get("content")) or as_list(item.get("summary"))
            return SpanMessage("assistant", "", reasoning=content_text(told))
        case None | "message":
            return SpanMessage(as_text(item.get("role")) or "user", content_text(item.get("content")))
        case kind:
            return SpanMessage("assistant", f"[{as_text(kind)}]")


def content_text(content: object) -> str:
    """The text of a message's content: a string, or parts of which only text can be shown; others are named, such as
    `[image_url]`.
    """
    parts = as_list(content)
    if not parts:
        return as_text(content or None)
    pieces: list[str] = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
            continue
        fields = as_object(part)
        text = fields.get("text", fields.get("content", fields.get("refusal")))
        kind = as_text(fields.get("type")) or "part"
        pieces.append(text if isinstance(text, str) else f"[{kind}]")
    return "\n".join(pieces)


def openai_answer(body: Mapping[str, object]) -> tuple[SpanMessage, ...]:
    """The messages of a chat or text completion in OpenAI's shape, one a choice."""
    found: list[SpanMessage] = []
    for choice in map(as_object, as_list(body.get("choices"))):
        finish = as_text(choice.get("finish_reason"))
        if "message" in choice:
            found.append(openai_message(as_object(choice["message"]), finish))
        else:
            found.append(SpanMessage("assistant", as_text(choice.get("text")), finish_reason=finish))
    return tuple(found)


def asked_text(messages: Sequence[SpanMessage]) -> str:
    """What the list shows as input: the last message of the user, else the last of all."""
    for message in reversed(messages):
        if message.role == "user" and message.text:
            return message.text
    return messages[-1].text if messages else ""


def answered_text(messages: Sequence[SpanMessage]) -> str:
    """What the list shows as output: the text of the first answer, else the tools it calls."""
    for message in messages:
        if message.text:
            return message.text
        if message.tool_calls:
            return ", ".join(f"{call.name}({call.arguments})" for call in message.tool_calls)
    return ""
