"""A generateContent request as OpenAI's chat.

What only Gemini knows (safety settings, thinking budgets, labels ...) stands aside, as the part of a generateContent
request that it is; thought signatures stand in `reasoning_details` of the message they came with.
"""

from typing import Any, NamedTuple

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.generate import thoughts
from rondel.gateway.dialects.generate.requests import (
    Blob,
    CallingConfig,
    Config,
    Content,
    FileData,
    FunctionResponse,
    Part,
    Request,
    Thinking,
    Tool,
)
from rondel.gateway.dialects.generate.schema import json_schema
from rondel.gateway.dialects.generate.thinking import effort_of
from rondel.gateway.dialects.generate.words import (
    CALL_TYPE,
    OUR_CALL,
    data_uri,
    json_of,
    object_of,
    type_by_name,
)

_AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}


class Chat(NamedTuple):
    """OpenAI's fields, and what stands aside."""

    fields: dict[str, Any]
    aside: dict[str, Any]


def chat_of(request: Request) -> Chat:
    """The request as OpenAI's chat, without `model` and `stream`.

    Raises:
        Invalid: it asks for what cannot be said there.
    """
    config = request.generation_config or Config()
    turns = _Turns()
    if request.system_instruction is not None:
        turns.system(request.system_instruction)
    for number, content in enumerate(request.contents):
        turns.add(content, f"contents[{number}]")
    fields: dict[str, Any] = {"messages": turns.messages, **_settings(config), **_tools(request)}
    return Chat(fields, _aside(request, config, turns.file_types))


def _settings(config: Config) -> dict[str, Any]:
    top_k = config.top_k
    settings: dict[str, Any] = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "top_k": int(top_k) if top_k is not None and top_k.is_integer() else top_k,
        "n": config.candidate_count if config.candidate_count != 1 else None,
        "max_completion_tokens": config.max_output_tokens,
        "stop": config.stop_sequences or None,
        "seed": config.seed,
        "presence_penalty": config.presence_penalty,
        "frequency_penalty": config.frequency_penalty,
        "logprobs": config.response_logprobs,
        "top_logprobs": config.logprobs,
        "reasoning_effort": _effort(config.thinking_config),
        "response_format": _response_format(config),
    }
    modalities = [modality.lower() for modality in config.response_modalities or ()]
    for modality in modalities:
        if modality not in {"text", "image"}:
            raise Invalid(f"The modality {modality!r} in 'responseModalities' is not passed on: ask for TEXT or IMAGE.")
    if "image" in modalities:
        settings["modalities"] = modalities
    return {name: value for name, value in settings.items() if value is not None}


def _effort(thinking: Thinking | None) -> str | None:
    return None if thinking is None else effort_of(msgspec.to_builtins(thinking))


def _response_format(config: Config) -> dict[str, Any] | None:
    schema = config.response_json_schema
    if schema is None and config.response_schema is not None:
        schema = json_schema(config.response_schema)
    kind = config.response_mime_type
    if kind not in {"", "text/plain", "application/json"}:
        raise Invalid(f"The 'responseMimeType' {kind!r} is not passed on: ask for application/json or text/plain.")
    if schema is not None:
        if kind != "application/json":
            raise Invalid("A schema of the answer needs 'responseMimeType': 'application/json'.")
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return {"type": "json_object"} if kind == "application/json" else None


def _tools(request: Request) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if functions := [each for tool in request.tools or () for each in _functions(tool)]:
        made["tools"] = functions
    config = request.tool_config.function_calling_config if request.tool_config else None
    if config is not None and functions:
        made["tool_choice"] = _tool_choice(config)
    return made


def _functions(tool: Tool) -> list[dict[str, Any]]:
    functions: list[dict[str, Any]] = []
    for declared in tool.function_declarations:
        function: dict[str, Any] = {"name": declared.name}
        if declared.description is not None:
            function["description"] = declared.description
        if declared.parameters_json_schema is not None:
            function["parameters"] = declared.parameters_json_schema
        elif declared.parameters is not None:
            function["parameters"] = json_schema(declared.parameters)
        functions.append({"type": CALL_TYPE, "function": function})
    return functions


def _tool_choice(config: CallingConfig) -> Any:
    """OpenAI's `tool_choice`.

    Source: https://platform.openai.com/docs/guides/function-calling#tool-choice (allowed tools)
    """
    mode = config.mode.upper()
    if mode == "NONE":
        return "none"
    choice = "required" if mode == "ANY" else "auto"
    allowed = [{"type": CALL_TYPE, "function": {"name": name}} for name in config.allowed_function_names]
    if not allowed:
        return choice
    if len(allowed) == 1 and choice == "required":
        return allowed[0]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice, "tools": allowed}}


def _aside(request: Request, config: Config, file_types: dict[str, str]) -> dict[str, Any]:
    """The part of the request that only Gemini understands, and the media types that addresses do not tell."""
    kept: dict[str, Any] = {
        "safetySettings": request.safety_settings,
        "labels": request.labels,
        "serviceTier": request.service_tier,
        "store": request.store,
    }
    settings = {
        "thinkingConfig": None if config.thinking_config is None else msgspec.to_builtins(config.thinking_config),
        "mediaResolution": config.media_resolution,
        "imageConfig": config.image_config,
        "audioTimestamp": config.audio_timestamp,
        "enableEnhancedCivicAnswers": config.enable_enhanced_civic_answers,
    }
    kept["generationConfig"] = {name: value for name, value in settings.items() if value is not None} or None
    calling = request.tool_config.function_calling_config if request.tool_config else None
    if calling is not None and calling.mode.upper() == "VALIDATED":
        kept["toolConfig"] = {"functionCallingConfig": {"mode": "VALIDATED"}}
    aside: dict[str, Any] = {}
    if google := {name: value for name, value in kept.items() if value is not None}:
        aside["google"] = google
    if file_types:
        aside["file_types"] = file_types
    return aside


class _Turns:
    """Contents as messages. A call without an id is given one by its place, the same in every turn of a talk."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.file_types: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self._calls = 0

    def system(self, content: Content) -> None:
        """The system instruction."""
        texts = [part.text for part in content.parts if part.text is not None]
        if len(texts) < len(content.parts):
            raise Invalid("A part of 'systemInstruction' is no text: only texts can be instructions.")
        if texts:
            said = texts[0] if len(texts) == 1 else [{"type": "text", "text": text} for text in texts]
            self.messages.append({"role": "system", "content": said})

    def add(self, content: Content, where: str) -> None:
        """One content."""
        if content.role == "model":
            self._model(content.parts, where)
        elif content.role in {"", "user", "function", "tool"}:
            self._user(content.parts, where)
        else:
            raise Invalid(f"The role {content.role!r} of {where} is not known: it is user or model.")

    def _user(self, parts: list[Part], where: str) -> None:
        said: list[dict[str, Any]] = []
        for number, part in enumerate(parts):
            place = f"{where}.parts[{number}]"
            if part.function_response is not None:
                self.messages.append(self._result(part.function_response, place))
            elif part.text is not None:
                said.append({"type": "text", "text": part.text})
            else:
                said.append(self._data(part.inline_data, part.file_data, place))
        if said:
            alone = said[0]["text"] if len(said) == 1 and said[0]["type"] == "text" else said
            self.messages.append({"role": "user", "content": alone})

    def _result(self, result: FunctionResponse, place: str) -> dict[str, Any]:
        """A tool's message; Gemini's `{"output": text}` is the text alone where that cannot be mistaken."""
        for number, (name, call_id) in enumerate(self._open):
            if result.id == call_id or (not result.id and result.name == name):
                del self._open[number]
                break
        else:
            raise Invalid(f"{place}.functionResponse answers no functionCall {result.name!r} before it.")
        response = result.response or {}
        output = response.get("output")
        is_plain = len(response) == 1 and isinstance(output, str) and object_of(output) is None
        text = output if is_plain else json_of(response)
        more = [self._data(part.inline_data, part.file_data, place) for part in result.parts]
        content = [{"type": "text", "text": text}, *more] if more else text
        return {"role": "tool", "tool_call_id": call_id, "content": content}

    def _data(self, blob: Blob | None, file: FileData | None, place: str) -> dict[str, Any]:
        if blob is not None:
            return _inline(blob, place)
        if file is not None:
            return self._file(file)
        raise Invalid(f"{place} holds nothing that a user can say: text, inlineData, fileData ...")

    def _file(self, file: FileData) -> dict[str, Any]:
        uri, kind = file.file_uri, file.mime_type or type_by_name(file.file_uri)
        if file.mime_type and file.mime_type != type_by_name(uri):
            self.file_types[uri] = file.mime_type
        if kind.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": uri}}
        if kind.startswith("video/"):
            return {"type": "video_url", "video_url": {"url": uri}}
        return {"type": "file", "file": {"file_id": uri}}

    def _model(self, parts: list[Part], where: str) -> None:
        """A turn of the model; contents of the model that follow each other are pieces of one answer."""
        if self.messages and self.messages[-1]["role"] == "assistant":
            message = self.messages[-1]
        else:
            message = {"role": "assistant", "content": None}
            self.messages.append(message)
        for number, part in enumerate(parts):
            self._said(message, part, f"{where}.parts[{number}]")

    def _said(self, message: dict[str, Any], part: Part, place: str) -> None:
        signature = part.thought_signature
        if part.function_call is not None:
            call = part.function_call
            call_id = call.id or f"{OUR_CALL}{self._calls}"
            self._calls += 1
            self._open.append((call.name, call_id))
            function = {"name": call.name, "arguments": json_of(call.args or {})}
            message.setdefault("tool_calls", []).append({"id": call_id, "type": CALL_TYPE, "function": function})
            if signature:
                thoughts.keep(message, thoughts.signed(signature, call_id))
        elif part.thought:
            thoughts.keep(message, thoughts.unpack(signature) or thoughts.thought(part.text or "", signature))
        elif part.text is not None:
            begin = len(message["content"] or "")
            message["content"] = (message["content"] or "") + part.text
            if signature:
                thoughts.keep(message, thoughts.signed(signature, thoughts.place(begin, len(message["content"]))))
        elif part.inline_data is not None and part.inline_data.mime_type.startswith("image/"):
            message.setdefault("images", []).append(_inline(part.inline_data, place))
        else:
            raise Invalid(f"{place} holds nothing that can be passed on as a model's answer: text, functionCall ...")


def _inline(blob: Blob, place: str) -> dict[str, Any]:
    kind = blob.mime_type
    if not kind:
        raise Invalid(f"{place}.inlineData has no 'mimeType'.")
    uri = data_uri(kind, blob.data)
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": uri}}
    if kind.startswith("video/"):
        return {"type": "video_url", "video_url": {"url": uri}}
    if kind in _AUDIO:
        return {"type": "input_audio", "input_audio": {"data": uri.partition(",")[2], "format": _AUDIO[kind]}}
    return {"type": "file", "file": {"filename": blob.display_name or "file", "file_data": uri}}
