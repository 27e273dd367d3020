"""A request to `/v1/responses` in OpenAI's chat dialect."""

import re
from typing import Any

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.responses.items import read_input
from rondel.gateway.dialects.responses.tools import Tools, read_choice, read_tools
from rondel.gateway.models import Fields, Head
from rondel.gateway.rules import parse_fields, raw

_STORED = "and nothing is stored here"
_STATEFUL = {
    "previous_response_id": f"It names an earlier response, {_STORED}: send its items in 'input'.",
    "conversation": f"It names a conversation, {_STORED}: send its items in 'input'.",
    "prompt": f"It names a prompt template, {_STORED}: send 'instructions', or call a route whose release has the "
    "prompt.",
    "context_management": "The server would compact the items: send fewer of them.",
    "moderation": "The server would moderate: put a guardrail on the route instead.",
    "access_programs": "It is OpenAI's own.",
}
_READ_HERE = frozenset(
    {
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "max_output_tokens",
        "top_logprobs",
        "include",
    }
)
_WITHOUT_MEANING = frozenset(
    {
        "store",  # the answer tells false
        "truncation",  # the answer tells "disabled"
        "stream_options",  # obfuscation, which is not added here
        "background",
        "background_options",
        "max_tool_calls",  # of tools that the server runs
        "image",
        "client_metadata",
    }
)
_LOGPROBS = "message.output_text.logprobs"
_PLACE = re.compile(r" - at `\$\.(\w+)")


class _Head(msgspec.Struct):
    model: str
    stream: bool | None = None
    max_output_tokens: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    background: bool | None = None


class _Text(msgspec.Struct):
    format: msgspec.Raw = msgspec.Raw(b"null")
    verbosity: str | None = None


class _Format(msgspec.Struct):
    type: str


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _Asked(msgspec.Struct):
    input: str | list[msgspec.Raw] | None = None
    instructions: str | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: msgspec.Raw = msgspec.Raw(b"null")
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    max_output_tokens: int | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    background: bool | None = None


_head = msgspec.json.Decoder(_Head).decode
_asked = msgspec.json.Decoder(_Asked).decode
_format = msgspec.json.Decoder(_Format | None).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_head(body: bytes) -> Head:
    """What routing needs. A response always tells its usage.

    Raises:
        Invalid: `model` is missing, or a field has the wrong type.
    """
    try:
        told = _head(body)
    except msgspec.ValidationError as error:
        raise _wrong(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error
    if told.background:
        raise Invalid("The field 'background' cannot be true: an answer that is fetched later passes by every limit.")
    return Head(
        told.model,
        told.stream or False,
        told.max_output_tokens,
        told.user or told.safety_identifier or "",
        told.metadata or {},
        wants_usage=True,
        service_tier=told.service_tier or "",
    )


def _wrong(error: msgspec.ValidationError) -> Invalid:
    place = _PLACE.search(str(error))
    if place is not None:
        return Invalid(f"The field {place[1]!r} is wrong: {error}.")
    if "`model`" in str(error):
        return Invalid("The field 'model' is missing: give the name of a route.")
    return Invalid('The body must be a JSON object, such as {"model": ..., "input": ...}.')


def read_request(body: bytes) -> Fields:
    """The request as a chat request. Fields that nobody here knows keep their bytes.

    Raises:
        Invalid: it is no request, or it needs a server that speaks the Responses API itself.
    """
    given = {name: value for name, value in parse_fields(body).items() if bytes(value) != b"null"}
    try:
        asked = _asked(body)
    except msgspec.ValidationError as error:
        raise _wrong(error) from error
    _refuse_stateful(given, asked)
    read: dict[str, Any] = {}
    if asked.input is None:
        raise Invalid("The field 'input' is missing: give a text or a list of items.")
    read["messages"] = read_input(asked.input, asked.instructions or "")
    read |= _tools(asked)
    read |= _text(asked)
    if asked.reasoning is not None and asked.reasoning.effort:
        read["reasoning_effort"] = asked.reasoning.effort
    if asked.max_output_tokens is not None:
        read["max_tokens"] = asked.max_output_tokens
    if asked.top_logprobs or _LOGPROBS in (asked.include or ()):
        read["logprobs"] = True
    if asked.top_logprobs:
        read["top_logprobs"] = asked.top_logprobs
    known = _READ_HERE | _WITHOUT_MEANING
    kept = {name: value for name, value in given.items() if name not in known}
    return {**kept, **{name: raw(value) for name, value in read.items()}}


def _refuse_stateful(given: Fields, asked: _Asked) -> None:
    if asked.background:
        raise Invalid(f"The field 'background' cannot be true: an answer would be fetched later, {_STORED}.")
    for name, why in _STATEFUL.items():
        if name in given:
            raise Invalid(
                f"The field {name!r} needs a provider that speaks the Responses API, and this route leads to another. "
                f"{why}"
            )


def tools_of(tools: list[msgspec.Raw] | None) -> Tools:
    """The caller's tools as functions.

    Raises:
        Invalid: one of them cannot be said.
    """
    return read_tools(tools or [])


def _tools(asked: _Asked) -> dict[str, Any]:
    if not asked.tools:
        return {}
    tools = tools_of(asked.tools)
    read: dict[str, Any] = {"tools": tools.functions}
    if bytes(asked.tool_choice) != b"null":
        read["tool_choice"], read["tools"] = read_choice(asked.tool_choice, tools)
    if asked.parallel_tool_calls is not None:
        read["parallel_tool_calls"] = asked.parallel_tool_calls
    return read


def _text(asked: _Asked) -> dict[str, Any]:
    if asked.text is None:
        return {}
    read: dict[str, Any] = {}
    told = _format(asked.text.format)
    if told is not None and told.type == "json_schema":
        schema = {name: value for name, value in _fields(asked.text.format).items() if name != "type"}
        read["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif told is not None and told.type == "json_object":
        read["response_format"] = {"type": "json_object"}
    elif told is not None and told.type != "text":
        raise Invalid(f"The field 'text.format' has the type {told.type!r}: use json_schema, json_object or text.")
    if asked.text.verbosity:
        read["verbosity"] = asked.text.verbosity
    return read
