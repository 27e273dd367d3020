"""A generateContent request as its callers send it: what is known of it, and what is refused by name."""

import re
from typing import Any

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.generate.words import camel, is_list, is_object

_UNKNOWN = re.compile(r"unknown field `(\w+)`(?: - at `\$\.?([^`]*)`)?")
_PLACE = re.compile(r"(.*?)(?: - at `\$\.?([^`]*)`)?$")
_BUILT_IN = "runs at Google. A route may lead to any model: declare functions instead, and run them yourself"


class Blob(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Data in base64, in either alphabet."""

    data: str = ""
    mime_type: str = ""
    display_name: str = ""


class FileData(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A file by its address."""

    file_uri: str
    mime_type: str = ""
    display_name: str = ""


class FunctionCall(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A call that the model asked for."""

    name: str
    args: dict[str, Any] | None = None
    id: str = ""


class ResponsePart(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A picture or a file that a function gave."""

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a function gave."""

    name: str
    response: dict[str, Any] | None = None
    parts: list[ResponsePart] = []
    id: str = ""


class Part(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A piece of a content: one of its data fields is there."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought: bool = False
    thought_signature: str = ""


class Content(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A turn; the role is user, model or function."""

    parts: list[Part] = []
    role: str = ""


class Declaration(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A function. What it gives back (`response`) is told to no model of another kind and left out."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: Any = None
    response: Any = None
    response_json_schema: Any = None


class Tool(msgspec.Struct, rename="camel"):
    """Functions; whatever else stands there is one of Google's own tools."""

    function_declarations: list[Declaration] = []


class CallingConfig(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Whether functions are called, and which may be."""

    mode: str = "AUTO"
    allowed_function_names: list[str] = []


class ToolConfig(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Settings of the tools."""

    function_calling_config: CallingConfig | None = None


class Thinking(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """How much is thought, and whether thoughts are told."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class Config(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The `generationConfig`; what stands after `thinking_config` is for Gemini alone."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_mime_type: str = ""
    response_schema: dict[str, Any] | None = None
    response_json_schema: Any = None
    response_modalities: list[str] | None = None
    thinking_config: Thinking | None = None
    media_resolution: Any = None
    image_config: Any = None
    audio_timestamp: Any = None
    enable_enhanced_civic_answers: Any = None


class Request(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The body; what stands after `generation_config` is for Gemini alone."""

    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    generation_config: Config | None = None
    safety_settings: Any = None
    labels: dict[str, str] | None = None
    service_tier: Any = None
    store: Any = None
    model: str = ""


_decode = msgspec.json.Decoder().decode


def read_request(body: bytes) -> Request:
    """The request, whose names are in camelCase or in snake_case.

    Raises:
        Invalid: it is none, or asks for what only Gemini has.
    """
    try:
        value = camel(_decode(body))
        if not is_object(value) or "contents" not in value:
            raise Invalid('The body must be a JSON object with contents, such as {"contents": [{"parts": [...]}]}.')
        _refuse_tools(value)
        return msgspec.convert(value, Request, strict=False)
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise Invalid("The body's JSON is nested too deeply.") from error


def _refuse_tools(value: dict[str, Any]) -> None:
    tools = value.get("tools")
    for tool in tools if is_list(tools) else []:
        for name in tool if is_object(tool) else ():
            if name != "functionDeclarations":
                raise Invalid(f"The tool {name!r} {_BUILT_IN}.")


def _refused(message: str) -> Invalid:
    """An error of the reader in our words: `contents[0].parts[1]: …`."""
    if found := _UNKNOWN.search(message):
        where = found[2].replace("[...]", "") if found[2] else "the body"
        return Invalid(f"{found[1]!r} in {where} has no counterpart in other models' requests: leave it out.")
    found = _PLACE.fullmatch(message)
    what, where = (found[1], found[2]) if found else (message, "")
    return Invalid(f"The field {where!r} is wrong: {what}." if where else f"The body is wrong: {what}.")
