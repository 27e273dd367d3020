"""Tools and the choice among them, and what the calls of translated tools are called in the answer.

Chat completions know functions. A custom tool, whose input is any text, is asked for as a function of one text; a
namespace's functions are asked for under `namespace__name`. Tools that OpenAI runs itself are refused.
"""

import re
from typing import Any, NamedTuple

import msgspec

from rondel.errors import Invalid

INPUT = "input"
"""The parameter that carries the text of a custom tool's call."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_IGNORED = frozenset({"type", "name", "allowed_callers", "defer_loading", "async", "output_schema"})


class Named(NamedTuple):
    """What a function of the chat request stands for in the caller's tools."""

    name: str
    namespace: str = ""
    is_custom: bool = False


class Tools(NamedTuple):
    """The functions of the chat request, and what each name in it stands for."""

    functions: list[dict[str, Any]]
    names: dict[str, Named]


class _Tool(msgspec.Struct):
    type: str
    name: str = ""
    description: str | None = None
    tools: list[msgspec.Raw] = []
    format: msgspec.Raw = msgspec.Raw(b"null")


class _Grammar(msgspec.Struct):
    type: str = "text"
    syntax: str = ""
    definition: str = ""


_tool = msgspec.json.Decoder(_Tool).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_grammar = msgspec.json.Decoder(_Grammar | None).decode


def read_tools(tools: list[msgspec.Raw]) -> Tools:
    """The caller's tools.

    Raises:
        Invalid: one of them is no tool, or one that only OpenAI runs.
    """
    found = Tools([], {})
    for place, tool in enumerate(tools):
        try:
            _add(found, tool)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"Tool {place + 1} is wrong: {error}.") from error
    return found


def _add(found: Tools, tool: msgspec.Raw, namespace: str = "") -> None:
    told = _tool(tool)
    if told.type == "namespace" and not namespace:
        for inner in told.tools:
            _add(found, inner, told.name)
        return
    if told.type not in {"function", "custom"}:
        raise refused(told.type)
    name = f"{namespace}__{told.name}" if namespace else told.name
    if not _NAME.fullmatch(name):
        raise Invalid(f"The tool {name!r} cannot be called so: use up to 64 letters, digits, '_' and '-'.")
    if name in found.names:
        raise Invalid(f"Two tools are called {name!r}.")
    found.names[name] = Named(told.name, namespace, told.type == "custom")
    found.functions.append(_custom(name, told) if told.type == "custom" else _function(name, tool))


def _function(name: str, tool: msgspec.Raw) -> dict[str, Any]:
    fields = _fields(tool)
    kept = {key: value for key, value in fields.items() if key not in _IGNORED and bytes(value) != b"null"}
    return {"type": "function", "function": {"name": name, **kept}}


def _custom(name: str, tool: _Tool) -> dict[str, Any]:
    grammar = _grammar(tool.format)
    about = [tool.description] if tool.description else []
    if grammar is not None and grammar.definition:
        about.append(f"The input has to follow this {grammar.syntax} grammar:\n{grammar.definition}")
    parameters = {
        "type": "object",
        "properties": {INPUT: {"type": "string", "description": "The tool's input, as plain text."}},
        "required": [INPUT],
        "additionalProperties": False,
    }
    described = {"description": "\n\n".join(about)} if about else {}
    return {"type": "function", "function": {"name": name, **described, "parameters": parameters}}


def refused(kind: str) -> Invalid:
    """Why a tool that the server would run itself is refused."""
    return Invalid(
        f"The tool {kind!r} is run by the server, which only a provider that speaks the Responses API does: route to "
        "one, or leave the tool out and give a function instead."
    )


class _Choice(msgspec.Struct):
    type: str
    name: str = ""
    namespace: str = ""
    mode: str = "auto"
    tools: list["_Choice"] = []


_choice = msgspec.json.Decoder(str | _Choice).decode


class Chosen(NamedTuple):
    """`tool_choice` of the chat request, and the tools that may be called at all."""

    choice: str | dict[str, Any]
    functions: list[dict[str, Any]]


def read_choice(choice: msgspec.Raw, tools: Tools) -> Chosen:
    """The caller's choice. A list of allowed tools leaves the others out.

    Raises:
        Invalid: it names no tool of the request.
    """
    try:
        told = _choice(choice)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"The field 'tool_choice' is wrong: {error}.") from error
    if isinstance(told, str):
        return Chosen(told, tools.functions)
    if told.type == "allowed_tools":
        names = {_known(one, tools) for one in told.tools}
        return Chosen(told.mode, [one for one in tools.functions if one["function"]["name"] in names])
    return Chosen({"type": "function", "function": {"name": _known(told, tools)}}, tools.functions)


def _known(choice: _Choice, tools: Tools) -> str:
    if choice.type not in {"function", "custom"}:
        raise refused(choice.type)
    name = f"{choice.namespace}__{choice.name}" if choice.namespace else choice.name
    if name not in tools.names:
        raise Invalid(f"The field 'tool_choice' names {name!r}, which is not among the tools.")
    return name


def called_name(name: str, namespace: str) -> str:
    """What a call in the input is called in the chat request."""
    return f"{namespace}__{name}" if namespace else name


def wrapped(text: str) -> str:
    """The arguments of a custom tool's call."""
    return msgspec.json.encode({INPUT: text}).decode()


class _Wrapped(msgspec.Struct):
    input: str


_wrapped = msgspec.json.Decoder(_Wrapped).decode


def unwrapped(arguments: str) -> str:
    """The text of a custom tool's call; arguments that do not hold it are the text themselves."""
    try:
        return _wrapped(arguments).input
    except msgspec.DecodeError:
        return arguments
