"""A request in OpenAI's chat completions, told as a Messages request.

Fields that neither dialect's documents name pass as they are: the server says what it makes of them.
Source: https://platform.claude.com/docs/en/api/messages/create
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.extras import ANTHROPIC, ASIDE
from rondel.gateway.dialects.messages.blocks import Built, blocks_of, put_back, result_of
from rondel.gateway.dialects.messages.efforts import asked, effort_of
from rondel.gateway.dialects.messages.thoughts import thoughts_of
from rondel.gateway.dialects.messages.values import (
    content,
    flag,
    has,
    number,
    object_of,
    objects,
    optional_text,
    text,
    without_extras,
)
from rondel.gateway.models import Fields
from rondel.gateway.rules import assemble, raw

_PASSED_OVER = frozenset({"stream_options", "store", "metadata", "verbosity", "modalities", "prediction", ASIDE})
_CACHING = frozenset({"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"})
_NEVER = ("audio", "functions", "function_call", "web_search_options", "moderation")
_NEUTRAL: Mapping[str, frozenset[bytes]] = {
    "n": frozenset({b"1"}),
    "logprobs": frozenset({b"false"}),
    "top_logprobs": frozenset({b"0"}),
    "logit_bias": frozenset({b"{}"}),
    "presence_penalty": frozenset({b"0", b"0.0"}),
    "frequency_penalty": frozenset({b"0", b"0.0"}),
    "seed": frozenset(),
}
"""What the Messages API has no word for, and the values that ask for nothing."""
_TRANSLATED = frozenset(
    {
        *("messages", "model", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice"),
        *("parallel_tool_calls", "response_format", "reasoning_effort", "user", "safety_identifier", "service_tier"),
        *(ANTHROPIC, "temperature"),
    }
)
_TIERS = {"auto": "auto", "default": "standard_only"}


def ask(fields: Fields, model: str, *, default_max_tokens: int) -> bytes:
    """The body of the request for `model`.

    Raises:
        Invalid: the Messages API cannot be asked that.
    """
    refuse_unsaid(fields, "The Messages API")
    passed = _PASSED_OVER | _CACHING | _NEUTRAL.keys() | _TRANSLATED
    body: dict[str, object] = {
        name: value for name, value in fields.items() if name not in passed and has(fields, name)
    }
    limit = limit_of(fields)
    max_tokens = default_max_tokens if limit is None else limit
    conversation = converse(fields)
    body |= {"model": model, "max_tokens": max_tokens}
    if conversation.system:
        body["system"] = _system(conversation.system)
    body["messages"] = [{"role": turn.role, "content": turn.blocks} for turn in conversation.turns]
    if has(fields, "temperature"):
        if (number(fields, "temperature", "The request") or 0.0) > 1.0:
            raise Invalid("The field 'temperature' is over 1, which is the most that the Messages API takes.")
        body["temperature"] = fields["temperature"]
    if stops := stops_of(fields):
        body["stop_sequences"] = stops
    body |= _tools(fields)
    if user := optional_text(fields, "user", "The request") or optional_text(
        fields, "safety_identifier", "The request"
    ):
        body["metadata"] = {"user_id": user}
    if tier := optional_text(fields, "service_tier", "The request"):
        body["service_tier"] = _tier(tier)
    thinks = may_think(conversation.turns, choice_of(fields))
    body |= _output(fields, lambda effort: asked(effort, model, max_tokens, may_think=thinks))
    return assemble(_as_fields(body))


def _as_fields(body: Mapping[str, object]) -> Fields:
    return {name: value if isinstance(value, msgspec.Raw) else raw(value) for name, value in body.items()}


def refuse_unsaid(fields: Fields, who: str) -> None:
    """Refuse by name what neither Claude's dialect nor a Converse request has a word for.

    Raises:
        Invalid: it is asked for.
    """
    for name in _NEVER:
        if has(fields, name):
            raise Invalid(f"{who} has nothing like the field {name!r}: leave it out.")
    for name, neutral in _NEUTRAL.items():
        if has(fields, name) and bytes(fields[name]) not in neutral:
            raise Invalid(f"{who} has nothing like the field {name!r}: leave it out.")
    if has(fields, "modalities") and b'"audio"' in bytes(fields["modalities"]):
        raise Invalid(f"{who} answers in text: leave 'audio' out of the field 'modalities'.")


def limit_of(fields: Fields) -> int | None:
    """How many tokens the answer may have; None when nothing is said.

    Raises:
        Invalid: it is no number.
    """
    told = number(fields, "max_completion_tokens", "The request")
    told = number(fields, "max_tokens", "The request") if told is None else told
    return None if told is None else int(told)


def stops_of(fields: Fields) -> list[str]:
    """Where the answer shall stop: one string or several.

    Raises:
        Invalid: it is something else.
    """
    if not has(fields, "stop"):
        return []
    try:
        told = msgspec.json.decode(fields["stop"], type=str | list[str])
    except msgspec.DecodeError:
        raise Invalid("The field 'stop' has to be a string or a list of strings.") from None
    return [told] if isinstance(told, str) else told


def _tier(tier: str) -> str:
    if tier not in _TIERS:
        raise Invalid(f"The Messages API has no service tier {tier!r}: give 'auto' or 'default'.")
    return _TIERS[tier]


# Turns


class Turn(NamedTuple):
    """What one side says at once."""

    role: str
    blocks: list[Built]


class Conversation(NamedTuple):
    """A chat's messages as the Messages API has them: what system messages hold, wherever they stood, and turns."""

    system: list[Built]
    turns: list[Turn]


def converse(fields: Fields) -> Conversation:
    """Gather messages into turns of one role each; tools' results are the user's.

    Raises:
        Invalid: a message is wrong, or cannot be said.
    """
    system: list[Built] = []
    turns: list[Turn] = []
    for position, message in enumerate(objects(fields, "messages", "The request")):
        where = f"Message {position + 1}"
        role = text(message, "role", where)
        match role:
            case "system" | "developer":
                system += blocks_of(content(message, where), where)
                continue
            case "user":
                blocks = _said(message, where, turns)
            case "assistant":
                blocks = _answered(message, where)
                role = "assistant"
            case "tool":
                blocks = [result_of(message, where)]
                role = "user"
            case _:
                raise Invalid(f"{where} has the role {role!r}: give system, user, assistant or tool.")
        if turns and turns[-1].role == role:
            turns[-1].blocks.extend(blocks)
        elif blocks:
            turns.append(Turn(role, blocks))
    return Conversation(system, turns)


def _system(blocks: Sequence[Built]) -> object:
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def _said(message: Fields, where: str, turns: Sequence[Turn]) -> list[Built]:
    """A user message's blocks, but for those that go back into the results of tools before it."""
    results = [block for block in turns[-1].blocks if block.get("type") == "tool_result"] if turns else []
    return [block for block in blocks_of(content(message, where), where) if not put_back(block, results)]


def _answered(message: Fields, where: str) -> list[Built]:
    if has(message, "function_call") or has(message, "audio"):
        raise Invalid(f"{where}: 'function_call' and 'audio' cannot be said in the Messages API: give 'tool_calls'.")
    kinds = {
        "r": thoughts_of(message, where),
        "c": blocks_of(content(message, where), where),
        "t": [_call(call, where) for call in objects(message, "tool_calls", where)],
    }
    order = optional_text(object_of(message, ANTHROPIC, where), "order", where)
    if sorted(order) != sorted(letter for letter, blocks in kinds.items() for _ in blocks):
        return [block for blocks in kinds.values() for block in blocks]
    return [kinds[letter].pop(0) for letter in order]


def _call(call: Fields, where: str) -> Built:
    kind = optional_text(call, "type", where) or "function"
    if kind != "function":
        raise Invalid(f"{where}: a call of type {kind!r} cannot be said in the Messages API: give a function's.")
    function = object_of(call, "function", where)
    return {
        **without_extras(call, where),
        "type": "tool_use",
        "id": text(call, "id", where),
        "name": text(function, "name", where),
        "input": arguments_of(function, where),
    }


def arguments_of(function: Fields, where: str) -> msgspec.Raw:
    """A call's arguments as the JSON object that they are the text of; nothing is the empty object.

    Raises:
        Invalid: they are no JSON object.
    """
    told = optional_text(function, "arguments", where).strip() or "{}"
    try:
        msgspec.json.decode(told, type=Fields)
    except (msgspec.DecodeError, RecursionError):
        raise Invalid(f"{where}: a call's 'arguments' have to be the text of a JSON object.") from None
    return msgspec.Raw(told.encode())


# Tools


def _tools(fields: Fields) -> Built:
    tools = objects(fields, "tools", "The request")
    if not tools:
        return {}
    built: Built = {"tools": [_tool(tool, f"Tool {position + 1}") for position, tool in enumerate(tools)]}
    choice = choice_of(fields)
    parallel = flag(fields, "parallel_tool_calls", "The request")
    if parallel is not None and (choice or not parallel) and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": not parallel}
    return {**built, "tool_choice": choice} if choice else built


def _tool(tool: Fields, where: str) -> Built:
    function = function_of(tool, where)
    built: Built = {**without_extras(tool, where), "name": text(function, "name", where)}
    for name in ("description", "strict"):
        if has(function, name):
            built[name] = function[name]
    built["input_schema"] = schema_of(function)
    return built


def function_of(tool: Fields, where: str) -> Fields:
    """What a tool is, when it is a function.

    Raises:
        Invalid: it is something else.
    """
    kind = text(tool, "type", where)
    if kind != "function":
        raise Invalid(f"{where} is of type {kind!r}: give a 'function'.")
    return object_of(tool, "function", where)


def schema_of(function: Fields) -> object:
    """The schema of a function's arguments; one that names none takes none."""
    return function["parameters"] if has(function, "parameters") else {"type": "object", "properties": {}}


def choice_of(fields: Fields) -> dict[str, object]:
    """`tool_choice` as the Messages API has it; empty when nothing is said.

    Raises:
        Invalid: it cannot be said.
    """
    if not has(fields, "tool_choice"):
        return {}
    try:
        told = msgspec.json.decode(fields["tool_choice"], type=str | Fields)
    except msgspec.DecodeError:
        raise Invalid("The field 'tool_choice' has to be a string or an object.") from None
    if isinstance(told, str):
        if told not in ("auto", "required", "none"):
            raise Invalid(f"The field 'tool_choice' is {told!r}: give auto, required, none or a function.")
        return {"type": "any" if told == "required" else told}
    if (kind := text(told, "type", "tool_choice")) != "function":
        raise Invalid(f"The field 'tool_choice' is of type {kind!r}: give auto, required, none or a function.")
    return {"type": "tool", "name": text(object_of(told, "function", "tool_choice"), "name", "tool_choice")}


# What the answer shall be like


def _output(fields: Fields, ask_for: Callable[[str], dict[str, object]]) -> dict[str, object]:
    """The answer's form and effort, and what else a Messages caller said.

    How such a caller asked for an effort holds while `reasoning_effort` says the same.
    """
    extra = object_of(fields, ANTHROPIC, "The request")
    told = {name: extra.pop(name) for name in ("thinking", "output_config") if name in extra}
    effort = optional_text(fields, "reasoning_effort", "The request")
    built: dict[str, object] = dict(extra)
    if effort == effort_of(told, limit_of(fields)):
        built |= told
    elif effort:
        built |= ask_for(effort)
    if schema := format_of(fields):
        config = object_of(_as_fields(built), "output_config", "output_config")
        built["output_config"] = {**config, "format": {"type": "json_schema", "schema": schema.schema}}
    return built


class Schema(NamedTuple):
    """The form of an answer; `name` may be empty."""

    name: str
    schema: Fields


def format_of(fields: Fields) -> Schema | None:
    """The schema that the answer has to fit; None for text.

    Raises:
        Invalid: another form is asked for.
    """
    form = object_of(fields, "response_format", "The request")
    kind = text(form, "type", "response_format") if form else "text"
    if kind == "text":
        return None
    if kind != "json_schema":
        raise Invalid(f"The field 'response_format' is of type {kind!r}: give a 'json_schema', with its schema.")
    told = object_of(form, "json_schema", "response_format")
    schema = object_of(told, "schema", "response_format")
    if not schema:
        raise Invalid("response_format: the field 'schema' is missing.")
    return Schema(optional_text(told, "name", "response_format"), schema)


def may_think(turns: Sequence[Turn], tool_choice: Mapping[str, object]) -> bool:
    """Whether thought may be asked for: not where a tool is forced, nor after calls that come without their thoughts.

    Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking (with tool use)
    """
    if tool_choice.get("type") in ("any", "tool"):
        return False
    answers = [turn.blocks for turn in turns if turn.role == "assistant"]
    kinds = [block["type"] for block in answers[-1]] if answers else []
    return "tool_use" not in kinds or kinds[0] in ("thinking", "redacted_thinking")
