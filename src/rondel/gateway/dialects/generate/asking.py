"""OpenAI's chat as a generateContent request."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.extras import ASIDE
from rondel.gateway.dialects.generate.contents import contents_of
from rondel.gateway.dialects.generate.thinking import config_of, effort_of, takes_budget
from rondel.gateway.dialects.generate.words import camel, is_list, is_object
from rondel.gateway.models import Fields

_PLAIN = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""Fields that differ in their names only."""
_READ = frozenset(
    {
        *("messages", "tools", "tool_choice", "stop", "max_tokens", "max_completion_tokens", "response_format"),
        *("reasoning_effort", "modalities", "safety_settings", "extra_body", ASIDE),
    }
)
_WITHOUT_EFFECT = frozenset(
    {
        *("model", "stream", "stream_options", "user", "metadata", "store", "service_tier", "parallel_tool_calls"),
        *("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "verbosity", "prediction"),
    }
)
"""Fields whose absence changes no answer's meaning: they are left out."""
_ASIDE_ONLY = frozenset({"safetySettings", "labels", "serviceTier", "store", "cachedContent"})
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def request_of(fields: Fields, model: str) -> bytes:
    """The body that asks `model` what `fields` say.

    What Gemini's own callers said beyond OpenAI's words comes back from aside; so does Google's
    `extra_body: {"google": {...}}` (https://ai.google.dev/gemini-api/docs/openai#extra-body).

    Raises:
        Invalid: a field or a message that Gemini cannot be asked.
    """
    try:
        chat = {name: _decode(value) for name, value in fields.items() if name not in _WITHOUT_EFFECT}
        return _encode(_request(chat, model))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"A field of the request is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise Invalid("The request's JSON is nested too deeply.") from error


def _request(chat: dict[str, Any], model: str) -> dict[str, Any]:
    for name, value in chat.items():
        if name not in _READ and name not in _PLAIN and value not in (None, {}, []):
            raise Invalid(f"The field {name!r} has no counterpart at Gemini: leave it out for {model!r}.")
    kept = chat.get(ASIDE)
    aside: dict[str, Any] = kept if is_object(kept) else {}
    types = aside.get("file_types")
    google = _google(chat, aside)
    asked: dict[str, Any] = contents_of(
        chat.get("messages"), types if is_object(types) else {}, needs_signatures=not takes_budget(model)
    )
    tools = _tools(chat.get("tools"))
    if tools:
        asked["tools"] = [{"functionDeclarations": tools}]
    if tools and (choice := chat.get("tool_choice")) is not None:
        asked["toolConfig"] = {"functionCallingConfig": _calling(choice)}
        _put(asked["toolConfig"], google.get("toolConfig"))
    if config := _config(chat, google, model):
        asked["generationConfig"] = config
    for name in sorted(_ASIDE_ONLY & google.keys()):
        asked[name] = google[name]
    return asked


def _google(chat: Mapping[str, Any], aside: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a generateContent request that stood aside, under what the request itself says for Gemini."""
    google: dict[str, Any] = {}
    _put(google, aside.get("google"))
    extra = chat.get("extra_body")
    own = camel(extra.get("google")) if is_object(extra) else None
    if is_object(own):
        thinking = own.pop("thinkingConfig", None)
        _put(google, own)
        if thinking is not None:
            google["explicitThinking"] = thinking
    if chat.get("safety_settings") is not None:
        google["safetySettings"] = camel(chat["safety_settings"])
    return google


def _put(into: dict[str, Any], values: Any) -> None:
    """Lay an object over another, deeply."""
    for name, value in values.items() if is_object(values) else ():
        if is_object(value) and is_object(into.get(name)):
            _put(into[name], value)
        else:
            into[name] = value


def _config(chat: Mapping[str, Any], google: Mapping[str, Any], model: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        theirs: chat[name] for name, theirs in _PLAIN.items() if chat.get(name) is not None and name in chat
    }
    limit = chat.get("max_completion_tokens")
    if limit is None:
        limit = chat.get("max_tokens")
    if limit is not None:
        config["maxOutputTokens"] = limit
    if (stop := chat.get("stop")) is not None:
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    config.update(_answer_format(chat.get("response_format")))
    modalities = chat.get("modalities")
    for modality in modalities if is_list(modalities) else ():
        if modality not in ("text", "image"):
            raise Invalid(f"Gemini is not asked for the modality {modality!r} here: ask for text or image.")
    if is_list(modalities) and modalities != ["text"]:
        config["responseModalities"] = [str(modality).upper() for modality in modalities]
    own = google.get("generationConfig")
    own = dict(own) if is_object(own) else {}
    thinking = _thinking(chat.get("reasoning_effort"), own.pop("thinkingConfig", None), google, model)
    if thinking is not None:
        config["thinkingConfig"] = thinking
    _put(config, own)
    return config


def _thinking(effort: Any, aside: Any, google: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """What the request says for Gemini, else what its caller said in Gemini's own words, unless the effort was changed
    since (by a release's parameters), else the effort."""
    explicit = google.get("explicitThinking")
    if is_object(explicit):
        return explicit
    if is_object(aside) and effort_of(aside) == effort:
        return aside
    if effort is None:
        return None
    config = config_of(effort, model) if isinstance(effort, str) else None
    if config is None:
        raise Invalid(f"The 'reasoning_effort' {effort!r} is not known: none, minimal, low, medium, high or xhigh.")
    return config


def _answer_format(wanted: Any) -> dict[str, Any]:
    kind = wanted.get("type") if is_object(wanted) else None
    if wanted is None or kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    named = wanted.get("json_schema") if kind == "json_schema" else None
    if not is_object(named) or "schema" not in named:
        raise Invalid("The 'response_format' is wrong: its type is text, json_object, or json_schema with a schema.")
    return {"responseMimeType": "application/json", "responseJsonSchema": named["schema"]}


def _tools(tools: Any) -> list[dict[str, Any]]:
    declared: list[dict[str, Any]] = []
    for number, tool in enumerate(tools if is_list(tools) else []):
        function = tool.get("function") if is_object(tool) else None
        if not is_object(function) or not isinstance(function.get("name"), str):
            raise Invalid(f"tools[{number}] is no function: Gemini is asked for functions only.")
        one: dict[str, Any] = {"name": function["name"]}
        if function.get("description") is not None:
            one["description"] = function["description"]
        if function.get("parameters") is not None:
            one["parametersJsonSchema"] = function["parameters"]
        declared.append(one)
    return declared


def _calling(choice: Any) -> dict[str, Any]:
    if isinstance(choice, str) and choice in _MODES:
        return {"mode": _MODES[choice]}
    if is_object(choice):
        one = choice.get("function")
        if is_object(one) and isinstance(one.get("name"), str):
            return {"mode": "ANY", "allowedFunctionNames": [one["name"]]}
        allowed = choice.get("allowed_tools")
        if is_object(allowed) and is_list(allowed.get("tools")):
            functions = [tool.get("function") for tool in allowed["tools"] if is_object(tool)]
            names = [function.get("name") for function in functions if is_object(function)]
            # names are heeded in the modes that promise a valid call, and VALIDATED is the one that leaves the choice
            mode = "ANY" if allowed.get("mode") == "required" else "VALIDATED"
            return {"mode": mode, "allowedFunctionNames": names}
    raise Invalid(f"The 'tool_choice' {choice!r} is not known: auto, none, required, or a function's name.")
