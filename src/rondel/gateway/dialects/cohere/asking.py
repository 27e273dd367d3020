"""OpenAI's chat as a request of Cohere's."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects import vectors
from rondel.gateway.dialects.cohere.words import PLAN, THINKING, is_list, is_object, json_of
from rondel.gateway.dialects.extras import ASIDE
from rondel.gateway.models import Fields

_NAMES = {
    "temperature": "temperature",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "logprobs": "logprobs",
    "top_k": "k",
    "top_p": "p",
    **{name: name for name in ("documents", "citation_options", "safety_mode", "thinking", "strict_tools", "priority")},
}
"""Fields that differ in their names only; the last are Cohere's own, and may stand beside OpenAI's."""
_READ = frozenset(
    {"messages", "tools", "tool_choice", "max_tokens", "max_completion_tokens", "stop", "response_format", "n"}
    | {"reasoning_effort"}
)
_WITHOUT_EFFECT = frozenset(
    {
        *("model", "stream", "stream_options", "user", "metadata", "store", "service_tier", "parallel_tool_calls"),
        *("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "verbosity", "prediction", ASIDE),
    }
)
"""Fields whose absence changes no answer's meaning: they are left out."""

_decode = msgspec.json.Decoder().decode


def chat_request(fields: Fields, model: str, *, is_stream: bool) -> bytes:
    """The body of POST /v2/chat.

    Raises:
        Invalid: a field or a message that Cohere cannot be asked.
    """
    try:
        chat = {name: _decode(value) for name, value in fields.items() if name not in _WITHOUT_EFFECT}
        return json_of(_request(chat, model, is_stream=is_stream))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"A field of the request is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise Invalid("The request's JSON is nested too deeply.") from error


def _request(chat: dict[str, Any], model: str, *, is_stream: bool) -> dict[str, Any]:
    for name, value in chat.items():
        if name not in _READ and name not in _NAMES and value not in (None, {}, [], 0):
            raise Invalid(f"The field {name!r} has no counterpart at Cohere: leave it out for {model!r}.")
    if chat.get("n") not in (None, 1):
        raise Invalid("Cohere gives one answer to a request: leave 'n' out.")
    messages = chat.get("messages")
    if not is_list(messages):
        raise Invalid("The field 'messages' is missing: give a list of messages.")
    asked: dict[str, Any] = {
        "model": model,
        "messages": [_message(message, f"messages[{number}]") for number, message in enumerate(messages)],
        "stream": is_stream,
    }
    asked |= {theirs: chat[name] for name, theirs in _NAMES.items() if chat.get(name) is not None}
    limit = chat.get("max_completion_tokens")
    if limit is None:
        limit = chat.get("max_tokens")
    if limit is not None:
        asked["max_tokens"] = limit
    if (stop := chat.get("stop")) is not None:
        asked["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if (wanted := chat.get("response_format")) is not None:
        asked["response_format"] = _answer_format(wanted)
    if (effort := chat.get("reasoning_effort")) is not None and "thinking" not in asked:
        asked["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
    return asked | _tools(chat)


def _message(message: Any, where: str) -> dict[str, Any]:
    role = str(message.get("role")) if is_object(message) else ""
    if role not in {"system", "developer", "user", "assistant", "tool"}:
        raise Invalid(f"The role {role!r} of {where} is not known: system, user, assistant or tool.")
    if role == "assistant":
        return _answer(message, where)
    made: dict[str, Any] = {
        "role": "system" if role == "developer" else role,
        "content": _content(message.get("content"), where),
    }
    if role == "tool":
        if not isinstance(message.get("tool_call_id"), str):
            raise Invalid(f"{where} has no 'tool_call_id'.")
        made["tool_call_id"] = message["tool_call_id"]
    return made


def _content(content: Any, where: str) -> str | list[dict[str, Any]]:
    """A text, or texts, images and (of tools) documents: they are said as OpenAI says them."""
    if isinstance(content, str):
        return content
    if not is_list(content) or not content:
        raise Invalid(f"{where} says nothing: give it a content.")
    for number, part in enumerate(content):
        kind = str(part.get("type")) if is_object(part) else ""
        if kind not in {"text", "image_url", "document"}:
            raise Invalid(f"{where}.content[{number}] cannot be said to Cohere: it is no text, image or document.")
    return content


def _answer(message: dict[str, Any], where: str) -> dict[str, Any]:
    """A turn of the model: its thoughts and its plan go back to it."""
    made: dict[str, Any] = {"role": "assistant"}
    content = message.get("content")
    thinking, plan = _thought(message, THINKING), _thought(message, PLAN)
    said = _content(content, where) if content else ""
    if thinking:
        texts = [{"type": "text", "text": said}] if isinstance(said, str) else said
        made["content"] = [{"type": "thinking", "thinking": thinking}, *(texts if said else [])]
    elif said:
        made["content"] = said
    if is_list(message.get("citations")):
        made["citations"] = message["citations"]
    calls = message.get("tool_calls")
    if is_list(calls) and calls:
        made["tool_calls"] = [_call(call, where) for call in calls]
        if plan:
            made["tool_plan"] = plan
    if len(made) == 1:
        made["content"] = ""
    return made


def _thought(message: Mapping[str, Any], kind: str) -> str:
    """The text of the entries of one format, which came in pieces."""
    entries = message.get("reasoning_details")
    return "".join(
        str(entry.get("text") or "")
        for entry in (entries if is_list(entries) else [])
        if is_object(entry) and entry.get("format") == kind
    )


def _call(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if is_object(call) else None
    if not is_object(function) or not isinstance(function.get("name"), str) or not isinstance(call.get("id"), str):
        raise Invalid(f"{where} has a tool call without an id or a function's name.")
    arguments = {"name": function["name"], "arguments": function.get("arguments") or "{}"}
    return {"id": call["id"], "type": "function", "function": arguments}


def _answer_format(wanted: Any) -> dict[str, Any]:
    kind = str(wanted.get("type")) if is_object(wanted) else ""
    if kind in {"text", "json_object"}:
        return wanted
    named = wanted.get("json_schema") if kind == "json_schema" else None
    if not is_object(named) or "schema" not in named:
        raise Invalid("The 'response_format' is wrong: its type is text, json_object, or json_schema with a schema.")
    return {"type": "json_object", "json_schema": named["schema"]}


def _tools(chat: Mapping[str, Any]) -> dict[str, Any]:
    """Tools and the choice among them: which one cannot be forced, so the others are left out then."""
    tools = chat.get("tools")
    functions = [_tool(tool, number) for number, tool in enumerate(tools if is_list(tools) else [])]
    if not functions:
        return {}
    made: dict[str, Any] = {"tools": functions}
    if "strict_tools" not in chat and all(tool["function"].get("strict") is True for tool in tools or ()):
        made["strict_tools"] = True
    choice = chat.get("tool_choice")
    if choice in ("required", "none"):
        made["tool_choice"] = str(choice).upper()
    elif is_object(choice):
        names, mode = _names(choice)
        made["tools"] = [tool for tool in functions if tool["function"]["name"] in names]
        if not made["tools"]:
            raise Invalid("The 'tool_choice' names no function that stands in 'tools'.")
        if mode == "required":
            made["tool_choice"] = "REQUIRED"
    elif choice not in (None, "auto"):
        raise Invalid(f"The 'tool_choice' {choice!r} is not known: auto, none, required, or a function's name.")
    return made


def _tool(tool: Any, number: int) -> dict[str, Any]:
    function = tool.get("function") if is_object(tool) else None
    if not is_object(function) or not isinstance(function.get("name"), str):
        raise Invalid(f"tools[{number}] is no function: Cohere is asked for functions only.")
    made = {name: function[name] for name in ("name", "description") if function.get(name) is not None}
    made["parameters"] = function.get("parameters") or {"type": "object", "properties": {}}
    return {"type": "function", "function": made}


def _names(choice: Mapping[str, Any]) -> tuple[list[Any], str]:
    """The names that a choice allows, and whether one of them has to be called."""
    allowed = choice.get("allowed_tools")
    tools = allowed.get("tools") if is_object(allowed) else [choice]
    functions = [tool.get("function") for tool in (tools if is_list(tools) else []) if is_object(tool)]
    mode = str(allowed.get("mode")) if is_object(allowed) else "required"
    return [function.get("name") for function in functions if is_object(function)], mode


def embed_request(fields: Fields, model: str, input_type: str) -> bytes:
    """The body of POST /v2/embed; the request may name another `input_type`.

    Raises:
        Invalid: the input is no text.
    """
    wanted = vectors.wanted(fields, "Cohere", OWN)
    body: dict[str, Any] = {
        "model": model,
        "texts": wanted.texts,
        "input_type": input_type,
        "embedding_types": ["float"],
        **wanted.own,
    }
    if wanted.dimensions is not None:
        body["output_dimension"] = wanted.dimensions
    return json_of(body)


OWN = ("input_type", "truncate", "max_tokens", "priority")
"""Cohere's own fields of a request for embeddings."""
