"""A request in OpenAI's chat completions, told as a Converse request.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.extras import ANTHROPIC, ASIDE, CACHE
from rondel.gateway.dialects.messages.asking import (
    Turn,
    choice_of,
    converse,
    format_of,
    function_of,
    limit_of,
    may_think,
    refuse_unsaid,
    schema_of,
    stops_of,
)
from rondel.gateway.dialects.messages.efforts import asked, effort_of
from rondel.gateway.dialects.messages.values import flag, has, number, object_of, objects, optional_text, text
from rondel.gateway.models import Fields
from rondel.gateway.rules import raw

Built = dict[str, object]

_WHO = "Bedrock's Converse API"
_OWN = frozenset(
    {"guardrailConfig", "performanceConfig", "promptVariables", "requestMetadata", "additionalModelResponseFieldPaths"}
)
"""Fields of a Converse request that a caller may give as they are."""
_MORE = "additionalModelRequestFields"
_PASSED_OVER = frozenset(
    {
        *("model", "stream", "stream_options", "store", "metadata", "verbosity", "modalities", "prediction"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "user", "safety_identifier"),
        *("n", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "seed", ASIDE),
    }
)
_TRANSLATED = frozenset(
    {
        *("messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "tools", "tool_choice"),
        *("parallel_tool_calls", "response_format", "reasoning_effort", "service_tier", ANTHROPIC, _MORE),
    }
)
_TIERS = frozenset({"default", "flex", "priority"})
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")
_SPACES = re.compile(r"\s+")


class _Cache(msgspec.Struct):
    ttl: str | None = None


class _Source(msgspec.Struct):
    type: str
    media_type: str = ""
    data: str = ""


class _Citations(msgspec.Struct):
    enabled: bool = False


class _Block(msgspec.Struct):
    """A block of the Messages API, as far as Converse has the like."""

    type: str
    text: str = ""
    source: _Source | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str = ""
    content: "list[_Block]" = []
    is_error: bool | None = None
    thinking: str = ""
    signature: str = ""
    data: str = ""
    title: str | None = None
    context: str | None = None
    citations: _Citations | list[msgspec.Raw] | None = None
    cache_control: _Cache | None = None


class _Turn(msgspec.Struct):
    role: str
    content: list[_Block]


class _Config(msgspec.Struct):
    effort: str | None = None


_T = TypeVar("_T")
_config = msgspec.json.Decoder(_Config)
_turns = msgspec.json.Decoder(list[_Turn])
_system = msgspec.json.Decoder(list[_Block])


def is_claude(model: str) -> bool:
    """Whether a model id or ARN names one of Anthropic's."""
    return "claude" in model


def ask(fields: Fields, model: str, *, default_max_tokens: int) -> bytes:
    """The body of the request for `model`; `default_max_tokens` is for Claude models that are given a budget of
    thought and no limit.

    Raises:
        Invalid: Converse cannot be asked that.
    """
    refuse_unsaid(fields, _WHO)
    conversation = converse(fields)
    body: Built = {name: fields[name] for name in _OWN if has(fields, name)}
    known = _PASSED_OVER | _TRANSLATED | _OWN
    more: Built = {name: value for name, value in fields.items() if name not in known and has(fields, name)}
    if conversation.system:
        body["system"] = _blocks(_read(_system, conversation.system))
    turns = [{"role": turn.role, "content": turn.blocks} for turn in conversation.turns]
    body["messages"] = [{"role": turn.role, "content": _blocks(turn.content)} for turn in _read(_turns, turns)]
    body |= _tools(fields, model, conversation.turns, more)
    thought = _effort(fields, model, conversation.turns, default_max_tokens, more)
    inference = _inference(fields, default_max_tokens if "thinking" in more else None)
    if inference:
        body["inferenceConfig"] = inference
    if config := {**thought, **_form(fields)}:
        body["outputConfig"] = config
    if (tier := optional_text(fields, "service_tier", "The request")) and tier != "auto":
        if tier not in _TIERS:
            raise Invalid(f"{_WHO} has no service tier {tier!r}: give auto, default, flex or priority.")
        body["serviceTier"] = {"type": tier}
    if more := {**more, **object_of(fields, _MORE, "The request")}:
        body[_MORE] = more
    return bytes(raw(body))


def _inference(fields: Fields, default_max_tokens: int | None) -> Built:
    config: Built = {}
    limit = limit_of(fields)
    if (max_tokens := default_max_tokens if limit is None else limit) is not None:
        config["maxTokens"] = max_tokens
    if has(fields, "temperature"):
        if (number(fields, "temperature", "The request") or 0.0) > 1.0:
            raise Invalid(f"The field 'temperature' is over 1, which is the most that {_WHO} takes.")
        config["temperature"] = fields["temperature"]
    if has(fields, "top_p"):
        config["topP"] = fields["top_p"]
    if stops := stops_of(fields):
        config["stopSequences"] = stops
    return config


def _effort(fields: Fields, model: str, turns: Sequence[Turn], default_max_tokens: int, more: Built) -> Built:
    """The part of `outputConfig` that says how hard to think; Claude's own field goes into `more`."""
    effort = optional_text(fields, "reasoning_effort", "The request")
    extra = object_of(fields, ANTHROPIC, "The request")
    limit = limit_of(fields)
    told: Mapping[str, object]
    if not is_claude(model):
        if effort == "none":
            raise Invalid(f"{_WHO} cannot turn this model's thought off: leave 'reasoning_effort' out.")
        return {"effort": "low" if effort == "minimal" else effort} if effort else {}
    if effort == effort_of(extra, limit):
        told = {name: extra[name] for name in ("thinking", "output_config") if name in extra}
    else:
        max_tokens = default_max_tokens if limit is None else limit
        told = asked(effort, model, max_tokens, may_think=may_think(turns, choice_of(fields)))
    if "thinking" in told:
        more["thinking"] = told["thinking"]
    config = _config.decode(raw(told["output_config"])) if "output_config" in told else _Config()
    return {"effort": config.effort} if config.effort else {}


def _form(fields: Fields) -> Built:
    schema = format_of(fields)
    if schema is None:
        return {}
    told: Built = {"schema": bytes(raw(schema.schema)).decode()}
    if schema.name:
        told["name"] = schema.name
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": told}}}


# Tools


def _tools(fields: Fields, model: str, turns: Iterable[Turn], more: Built) -> Built:
    tools = objects(fields, "tools", "The request")
    if not tools:
        return {}
    choice = choice_of(fields)
    kind = choice.get("type")
    parallel = flag(fields, "parallel_tool_calls", "The request")
    specs = [spec for position, tool in enumerate(tools) for spec in _tool(tool, f"Tool {position + 1}")]
    config: Built = {"tools": specs}
    if is_claude(model) and (kind == "none" or parallel is False):  # what only Claude's own words can say
        single = {} if kind == "none" else {"disable_parallel_tool_use": True}
        more["tool_choice"] = {**(choice or {"type": "auto"}), **single}
        return {"toolConfig": config}
    if parallel is False:
        raise Invalid(f"{_WHO} cannot keep this model from parallel calls: leave 'parallel_tool_calls' out.")
    if kind == "none":
        if any(block["type"] == "tool_use" for turn in turns for block in turn.blocks):
            raise Invalid(f"{_WHO} cannot forbid this model its tools after it has called one: use 'auto'.")
        return {}
    if kind == "tool":
        config["toolChoice"] = {"tool": {"name": choice["name"]}}
    elif kind:
        config["toolChoice"] = {str(kind): {}}
    return {"toolConfig": config}


def _tool(tool: Fields, where: str) -> list[Built]:
    function = function_of(tool, where)
    spec: Built = {"name": text(function, "name", where), "inputSchema": {"json": schema_of(function)}}
    if description := optional_text(function, "description", where):
        spec["description"] = description
    if (strict := flag(function, "strict", where)) is not None:
        spec["strict"] = strict
    built: list[Built] = [{"toolSpec": spec}]
    if has(tool, CACHE):
        built.append(_cache_point(msgspec.json.decode(tool[CACHE], type=_Cache)))
    return built


# Blocks


def _read(decoder: msgspec.json.Decoder[_T], value: object) -> _T:
    try:
        return decoder.decode(raw(value))
    except msgspec.ValidationError as error:
        raise Invalid(f"A message cannot be told in {_WHO}: {error}.") from error


def _blocks(blocks: Iterable[_Block]) -> list[Built]:
    """Blocks, each followed by a cache point where a prefix to be cached ends."""
    built: list[Built] = []
    for block in blocks:
        built.append(_block(block))
        if block.cache_control is not None:
            built.append(_cache_point(block.cache_control))
    return built


def _cache_point(cache: _Cache) -> Built:
    return {"cachePoint": {"type": "default", **({"ttl": cache.ttl} if cache.ttl else {})}}


def _block(block: _Block) -> Built:
    match block.type:
        case "text":
            return {"text": block.text}
        case "image":
            return {"image": _image(block.source or _Source(""))}
        case "document":
            return {"document": _document(block)}
        case "thinking":
            return {"reasoningContent": {"reasoningText": {"text": block.thinking, "signature": block.signature}}}
        case "redacted_thinking":
            return {"reasoningContent": {"redactedContent": block.data}}
        case "tool_use":
            return {"toolUse": {"toolUseId": block.id, "name": block.name, "input": block.input}}
        case "tool_result":
            result: Built = {"toolUseId": block.tool_use_id, "content": [_block(inside) for inside in block.content]}
            if block.is_error is not None:
                result["status"] = "error" if block.is_error else "success"
            return {"toolResult": result}
        case kind:
            raise Invalid(f"{_WHO} has nothing like a block of type {kind!r}.")


def _image(source: _Source) -> Built:
    if source.type != "base64":
        raise Invalid(f"{_WHO} takes images as bytes: send a data: URL.")
    if source.media_type not in _IMAGES:
        raise Invalid(f"{_WHO} takes png, jpeg, gif and webp images, not {source.media_type!r}.")
    return {"format": _IMAGES[source.media_type], "source": {"bytes": source.data}}


def _document(block: _Block) -> Built:
    source = block.source or _Source("")
    if source.type not in ("base64", "text"):
        raise Invalid(f"{_WHO} takes documents as bytes or text: send a data: URL.")
    if source.media_type not in _DOCUMENTS:
        raise Invalid(f"{_WHO} takes no document of type {source.media_type!r}: send one of {', '.join(_DOCUMENTS)}.")
    document: Built = {
        "format": _DOCUMENTS[source.media_type],
        "name": document_name(block.title or ""),
        "source": {"text": source.data} if source.type == "text" else {"bytes": source.data},
    }
    if block.context:
        document["context"] = block.context
    if isinstance(block.citations, _Citations):
        document["citations"] = {"enabled": block.citations.enabled}
    return document


def document_name(title: str) -> str:
    """A title with what Converse allows in names: letters, digits, single spaces, hyphens, brackets; 200 at most."""
    return _SPACES.sub(" ", _NOT_IN_NAMES.sub(" ", title)).strip()[:200].strip() or "document"
