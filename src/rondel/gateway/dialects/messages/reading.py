"""A Messages request, read as OpenAI's chat completions.

What chat has no word for is kept under `anthropic` (see `extras.ANTHROPIC`), so that `asking` tells it as it was.
Source: https://platform.claude.com/docs/en/api/messages/create
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.extras import ANTHROPIC, CACHE
from rondel.gateway.dialects.messages.blocks import Built, part_of, parts_of, plain, result_parts
from rondel.gateway.dialects.messages.efforts import effort_of
from rondel.gateway.dialects.messages.thoughts import detail_of
from rondel.gateway.dialects.messages.values import (
    content,
    flag,
    has,
    number,
    object_of,
    objects,
    optional_text,
    rest,
    text,
    with_extras,
)
from rondel.gateway.models import Fields
from rondel.gateway.rules import parse_fields, raw

_SAME = ("model", "stream", "temperature", "top_p", "top_k")
_TRANSLATED = frozenset(
    {
        *_SAME,
        *("system", "messages", "max_tokens", "stop_sequences", "tools", "tool_choice"),
        *("metadata", "output_config", "service_tier"),
    }
)
_THEIRS = frozenset({"container", "mcp_servers", "inference_geo", "fallbacks"})
"""What only Anthropic's own servers can do, and what must not be passed over."""
_TIERS = {"auto": "auto", "standard_only": "default"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def read(body: bytes) -> Fields:
    """The request's fields in OpenAI's chat dialect.

    Raises:
        Invalid: it is no such request, or asks for what cannot be said there.
    """
    given = parse_fields(body)
    for name in sorted(_THEIRS & given.keys()):
        if has(given, name):
            raise Invalid(
                f"The field {name!r} needs a provider that speaks the Messages API itself: leave it out, or call a "
                "route that leads to one."
            )
    fields: dict[str, object] = {name: given[name] for name in _SAME if has(given, name)}
    fields["messages"] = _messages(given)
    limit = number(given, "max_tokens", "The request")
    if limit is not None:
        fields["max_completion_tokens"] = int(limit)
    if has(given, "stop_sequences"):
        fields["stop"] = given["stop_sequences"]
    if tools := objects(given, "tools", "The request"):
        fields["tools"] = [_tool(tool, f"Tool {number_ + 1}") for number_, tool in enumerate(tools)]
    fields |= _choice(object_of(given, "tool_choice", "The request"))
    if user := optional_text(object_of(given, "metadata", "The request"), "user_id", "metadata"):
        fields["user"] = user
    extra: dict[str, object] = {**rest(given, _TRANSLATED)}
    fields |= _output(given, None if limit is None else int(limit), extra)
    if tier := optional_text(given, "service_tier", "The request"):
        fields["service_tier"] = _TIERS.get(tier, tier)
    if fields.get("stream") == msgspec.Raw(b"true"):
        fields["stream_options"] = {"include_usage": True}
    if extra:
        fields[ANTHROPIC] = extra
    return {name: value if isinstance(value, msgspec.Raw) else raw(value) for name, value in fields.items()}


def _output(given: Fields, max_tokens: int | None, extra: dict[str, object]) -> dict[str, object]:
    """`response_format` and `reasoning_effort`; how they were asked for stays in `extra`."""
    config = object_of(given, "output_config", "The request")
    fields: dict[str, object] = {}
    if form := object_of(config, "format", "output_config"):
        if (kind := text(form, "type", "output_config.format")) != "json_schema":
            raise Invalid(f"output_config.format is of type {kind!r}: give a 'json_schema'.")
        schema = object_of(form, "schema", "output_config.format")
        named = {"name": "answer", "schema": schema, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": named}
    if effort := effort_of(given, max_tokens):
        fields["reasoning_effort"] = effort
    if left := rest(config, ("format",)):
        extra["output_config"] = left
    return fields


def _choice(choice: Fields) -> dict[str, object]:
    if not choice:
        return {}
    fields: dict[str, object] = {}
    kind = text(choice, "type", "tool_choice")
    if kind == "tool":
        fields["tool_choice"] = {"type": "function", "function": {"name": text(choice, "name", "tool_choice")}}
    elif kind in _CHOICES:
        fields["tool_choice"] = _CHOICES[kind]
    else:
        raise Invalid(f"tool_choice is of type {kind!r}: give auto, any, tool or none.")
    is_single = flag(choice, "disable_parallel_tool_use", "tool_choice")
    if is_single is not None:
        fields["parallel_tool_calls"] = not is_single
    return fields


def _tool(tool: Fields, where: str) -> Built:
    kind = optional_text(tool, "type", where) or "custom"
    name = optional_text(tool, "name", where)
    if kind != "custom":
        raise Invalid(
            f"{where}, {name or kind!r}, is of type {kind!r}: only providers that speak the Messages API themselves "
            "have it. Give a tool of your own with an 'input_schema', or call a route that leads to one of them."
        )
    if not has(tool, "input_schema"):
        raise Invalid(f"{where}: the field 'input_schema' is missing: give a JSON schema of type 'object'.")
    function: Built = {"name": text(tool, "name", where), "parameters": tool["input_schema"]}
    for field in ("description", "strict"):
        if has(tool, field):
            function[field] = tool[field]
    built: Built = {"type": "function", "function": function}
    with_extras(built, tool, rest(tool, ("type", "name", "input_schema", "description", "strict", CACHE)))
    return built


# Turns


def _messages(given: Fields) -> list[Built]:
    messages: list[Built] = []
    if system := content(given, "The request", "system"):
        messages.append({"role": "system", "content": parts_of(system, "The system prompt")})
    for position, turn in enumerate(objects(given, "messages", "The request")):
        where = f"Message {position + 1}"
        role = text(turn, "role", where)
        told = content(turn, where)
        match role:
            case "user":
                messages += _user(told, where)
            case "assistant":
                messages.append(_assistant(told, where))
            case "system":
                messages.append({"role": "system", "content": parts_of(told, where)})
            case _:
                raise Invalid(f"{where} has the role {role!r}: give user, assistant or system.")
    return messages


def _user(told: str | list[Fields], where: str) -> list[Built]:
    """One turn as messages: tools' results each have their own, and what they hold beside text stands behind them."""
    if isinstance(told, str):
        return [{"role": "user", "content": told}]
    messages: list[Built] = []
    behind: list[Built] = []
    said: list[Built] = []
    for block in told:
        if text(block, "type", where) != "tool_result":
            said.append(part_of(block, where))
            continue
        if behind or said:
            messages.append({"role": "user", "content": plain([*behind, *said])})
            behind, said = [], []
        message, others = _result(block, where)
        messages.append(message)
        behind += others
    if behind or said or not messages:
        messages.append({"role": "user", "content": plain([*behind, *said])})
    return messages


def _result(block: Fields, where: str) -> tuple[Built, list[Built]]:
    tool_use_id = text(block, "tool_use_id", where)
    inside, others = result_parts(content(block, where), tool_use_id, where)
    message: Built = {"role": "tool", "tool_call_id": tool_use_id, "content": inside}
    with_extras(message, block, rest(block, ("type", "tool_use_id", "content", CACHE)))
    return message, others


class _Kind(NamedTuple):
    letter: str
    rank: int


_THOUGHT, _SAID, _CALL = _Kind("r", 0), _Kind("c", 1), _Kind("t", 2)
_KINDS: Mapping[str, _Kind] = {"thinking": _THOUGHT, "redacted_thinking": _THOUGHT, "tool_use": _CALL}


def _assistant(told: str | list[Fields], where: str) -> Built:
    """One turn as one message; where its blocks stand in another order than thoughts, texts, calls, `anthropic.order`
    tells it, a letter for each."""
    if isinstance(told, str):
        return {"role": "assistant", "content": told}
    said: list[Built] = []
    calls: list[Built] = []
    details: list[Built] = []
    thoughts: list[str] = []
    kinds: list[_Kind] = []
    for block in told:
        kind = _KINDS.get(text(block, "type", where), _SAID)
        kinds.append(kind)
        if kind is _THOUGHT:
            detail = detail_of(block, len(details), where)
            details.append(detail)
            thoughts.append(str(detail.get("text", "")))
        elif kind is _CALL:
            calls.append(_call(block, where))
        else:
            said.append(part_of(block, where))
    message: Built = {"role": "assistant", "content": plain(said) if said else None}
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    if not _is_usual(kinds):
        message[ANTHROPIC] = {"order": "".join(kind.letter for kind in kinds)}
    return message


def _is_usual(kinds: Sequence[_Kind]) -> bool:
    return all(before.rank <= after.rank for before, after in pairwise(kinds))


def _call(block: Fields, where: str) -> Built:
    arguments = bytes(block["input"]).decode() if has(block, "input") else "{}"
    object_of(block, "input", where)
    call: Built = {
        "id": text(block, "id", where),
        "type": "function",
        "function": {"name": text(block, "name", where), "arguments": arguments},
    }
    with_extras(call, block, rest(block, ("type", "id", "name", "input", CACHE)))
    return call
