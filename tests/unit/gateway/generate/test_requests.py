"""Requests of generateContent and of OpenAI's chat, each as the other."""

import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.gateway.dialects.extras import ASIDE
from rondel.gateway.dialects.generate.asking import request_of
from rondel.gateway.dialects.generate.contents import UNSIGNED
from rondel.gateway.dialects.generate.dialect import Generate
from rondel.gateway.models import Head, Operation
from rondel.gateway.ports import Call
from rondel.gateway.providers.openai import OpenAI
from rondel.gateway.rules import assemble, raw

PATH = "/v1beta/models/support:generateContent"
_text = st.text(max_size=6)
_word = st.text("abcxyz", min_size=1, max_size=4)
_signature = st.sampled_from(["c2ln", "QUJD+/8="])
_arguments = st.dictionaries(_word, st.none() | st.integers(-9, 9) | _text | st.lists(st.booleans()), max_size=2)
_schema = st.sampled_from(
    [
        {"type": "object", "properties": {"a_b": {"type": ["string", "null"]}}, "required": ["a_b"]},
        {"$defs": {"x_y": {"enum": [1, 2]}}, "type": "array", "items": {"$ref": "#/$defs/x_y"}},
    ]
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


_data = st.one_of(
    st.sampled_from(["image/png", "audio/wav", "audio/mp3", "video/mp4", "application/pdf"]).map(
        lambda kind: {"inlineData": {"mimeType": kind, "data": "AAECAw=="}}
    ),
    st.tuples(
        st.sampled_from(["https://x.test/a.png", "gs://b/c", "https://x.test/v1beta/files/1"]),
        st.sampled_from(["image/png", "image/webp", "video/mp4", "application/pdf", "audio/wav"]),
    ).map(lambda pair: {"fileData": {"fileUri": pair[0] + pair[1], "mimeType": pair[1]}}),
)
_said = st.one_of(_text.map(lambda text: {"text": text}), _data)


@st.composite
def _talk(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns as Gemini's own chats have them: thoughts, text and calls with their signatures, and results."""
    contents: list[dict[str, Any]] = []
    number = 0
    for _ in range(draw(st.integers(1, 3))):
        contents.append({"role": "user", "parts": draw(st.lists(_said, min_size=1, max_size=3))})
        parts: list[dict[str, Any]] = [
            {"text": text, "thought": True, **draw(_some(thoughtSignature=_signature))}
            for text in draw(st.lists(_text, max_size=2))
        ]
        text = draw(st.text(min_size=1, max_size=5))
        kinds = [[], [{"text": text}], [{"text": text, "thoughtSignature": draw(_signature)}]]
        parts += draw(st.sampled_from([*kinds, [{"text": text}, {"text": "", "thoughtSignature": "c2ln"}]]))
        calls = draw(st.lists(_word, max_size=2))
        results: list[dict[str, Any]] = []
        for name in calls:
            number += 1
            call = {"id": f"id{number}", "name": name, "args": draw(_arguments)}
            parts.append({"functionCall": call, **draw(_some(thoughtSignature=_signature))})
            response = draw(
                st.sampled_from([{"output": "sun"}, {"output": '{"a":1}'}, {"error": "no"}, {}, {"a_b": [1]}])
            )
            more = draw(_some(parts=st.lists(_data, min_size=1, max_size=2)))
            results.append({"functionResponse": {"id": f"id{number}", "name": name, "response": response, **more}})
        if not parts:
            break
        contents.append({"role": "model", "parts": parts})
        if results:
            contents.append({"role": "user", "parts": results})
    return contents


_config = _some(
    temperature=st.sampled_from([0.0, 0.5, 2.0]),
    topP=st.sampled_from([0.1, 1.0]),
    topK=st.integers(1, 60),
    candidateCount=st.integers(2, 4),
    maxOutputTokens=st.integers(1, 999),
    stopSequences=st.lists(_word, min_size=1, max_size=3),
    seed=st.integers(0, 99),
    presencePenalty=st.sampled_from([-1.0, 0.5]),
    frequencyPenalty=st.sampled_from([-1.0, 0.5]),
    responseLogprobs=st.booleans(),
    logprobs=st.integers(0, 5),
    thinkingConfig=_some(
        includeThoughts=st.booleans(), thinkingBudget=st.integers(-1, 30_000), thinkingLevel=st.just("LOW")
    ),
    mediaResolution=st.just("MEDIA_RESOLUTION_LOW"),
    responseModalities=st.sampled_from([["TEXT", "IMAGE"], ["IMAGE"]]),
    imageConfig=st.just({"aspectRatio": "1:1"}),
)
_form = st.one_of(
    _some(responseMimeType=st.just("application/json")),
    _schema.map(lambda schema: {"responseMimeType": "application/json", "responseJsonSchema": schema}),
)
_declaration = st.fixed_dictionaries({"name": _word}, optional={"description": _text, "parametersJsonSchema": _schema})
_calling = st.one_of(
    st.sampled_from([{"mode": "AUTO"}, {"mode": "NONE"}, {"mode": "ANY"}, {"mode": "VALIDATED"}]),
    st.lists(_word, min_size=1, max_size=3).map(lambda names: {"mode": "ANY", "allowedFunctionNames": names}),
)


@st.composite
def _requests(draw: st.DrawFn) -> dict[str, Any]:
    request: dict[str, Any] = {"contents": draw(_talk())}
    if system := draw(st.lists(_text, max_size=2)):
        request["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if declared := draw(st.lists(_declaration, max_size=2)):
        request["tools"] = [{"functionDeclarations": declared}]
        request |= draw(_some(toolConfig=_calling.map(lambda calling: {"functionCallingConfig": calling})))
    if config := {**draw(_config), **draw(_form)}:
        request["generationConfig"] = config
    safety = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
    return request | draw(_some(safetySettings=st.just([safety]), labels=st.just({"team_a": "x_y"})))


def _read(request: Any, path: str = PATH) -> dict[str, Any]:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    dialect = Generate()
    return json.loads(assemble(dialect.read(body, dialect.head(path, {}, body))))


def _asked(chat: dict[str, Any], model: str = "gemini-2.5-flash") -> dict[str, Any]:
    return json.loads(request_of({name: raw(value) for name, value in chat.items()}, model))


def _chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"messages": list(messages) or [{"role": "user", "content": "hi"}], **fields}


@given(_requests())
def test_a_request_that_goes_through_openais_chat_loses_nothing(request: dict[str, Any]) -> None:
    assert _asked(_read(request)) == request


def _snake(value: Any) -> Any:
    """A request as Google's client writes it: our own names in snake_case, all but what is the caller's."""
    if isinstance(value, list):
        return [_snake(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  any JSON
    if not isinstance(value, dict):
        return value
    own = {"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels"}
    named: dict[str, Any] = {}
    for name, item in value.items():  # pyright: ignore[reportUnknownVariableType]  any JSON
        key = "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in str(name))  # pyright: ignore[reportUnknownArgumentType]
        named[key] = item if name in own else _snake(item)
    return named


@given(_requests())
def test_names_in_snake_case_are_the_same_names(request: dict[str, Any]) -> None:
    assert _read(_snake(request)) == _read(request)


@given(_requests())
def test_googles_client_would_send_what_we_send(request: dict[str, Any]) -> None:
    for content in request["contents"]:
        types.Content.model_validate(content)
    config = dict(request.get("generationConfig", {}))
    types.ImageConfig.model_validate(config.pop("imageConfig", {}))  # the client knows it beside the others only
    types.GenerationConfig.model_validate(config)
    for tool in request.get("tools", []):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(request.get("toolConfig", {}))


# Heads


@pytest.mark.parametrize(
    ("target", "model", "is_stream", "is_array"),
    [
        ("/v1beta/models/support:generateContent", "support", False, False),
        ("/v1/models/support:generateContent?key=x", "support", False, False),
        ("/v1beta/models/a%20b/c:streamGenerateContent?alt=sse&key=x", "a b/c", True, False),
        ("/v1beta/models/m:streamGenerateContent", "m", True, True),
        ("/v1beta/models/m:streamGenerateContent?alt=json", "m", True, True),
        ("/v1/projects/p/locations/l/publishers/google/models/m:generateContent", "m", False, False),
    ],
)
def test_the_path_says_model_and_stream(target: str, model: str, is_stream: bool, is_array: bool) -> None:
    body = b'{"contents":[],"generation_config":{"maxOutputTokens":9},"labels":{"a":"b"},"tools":[{"googleSearch":{}}]}'
    body = body.replace(b"generation_config", b"generationConfig" if is_stream else b"generation_config")
    body = body if is_stream else body.replace(b"maxOutputTokens", b"max_output_tokens")
    head = Generate().head(target, {}, body)
    assert head == Head(model, is_stream, 9, "", {"a": "b"}, wants_usage=True, is_array=is_array)


@pytest.mark.parametrize("target", ["/v1beta/models/m:countTokens", "/v1beta/models/:generateContent", "/x", "/models"])
def test_other_paths_are_refused(target: str) -> None:
    with pytest.raises(Invalid, match=":generateContent"):
        Generate().head(target, {}, b"{}")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"generationConfig":{"maxOutputTokens":[]}}', b'{"labels":{"a":1}}', b"\xff"]
)
def test_a_head_of_nothing_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        Generate().head(PATH, {}, body)


# What is refused, and how it is said


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "contents"),
    ({"contents": "hi"}, "contents"),
    ({"contents": [], "cachedContent": "c"}, "'cachedContent'"),
    ({"contents": [{"parts": [{"executableCode": {}}]}]}, "'executableCode' in contents"),
    ({"contents": [{"parts": [{"videoMetadata": {}}]}]}, "'videoMetadata'"),
    ({"contents": [{"role": "system", "parts": [{"text": "x"}]}]}, "role 'system' of contents\\[0\\]"),
    ({"contents": [{"parts": [{}]}]}, "contents\\[0\\].parts\\[0\\] holds nothing"),
    ({"contents": [{"role": "model", "parts": [{}]}]}, "contents\\[0\\].parts\\[0\\] holds nothing"),
    ({"contents": [{"parts": [{"inlineData": {"data": "AA=="}}]}]}, "mimeType"),
    (
        {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
        "answers no functionCall 'f'",
    ),
    ({"contents": [], "tools": [{"google_search": {}}]}, "'googleSearch' runs at Google"),
    ({"contents": [], "generationConfig": {"responseModalities": ["AUDIO"]}}, "'audio'"),
    ({"contents": [], "generationConfig": {"responseMimeType": "text/x.enum"}}, "text/x.enum"),
    ({"contents": [], "generationConfig": {"responseSchema": {"type": "STRING"}}}, "application/json"),
    ({"contents": [], "generationConfig": {"speechConfig": {}}}, "'speechConfig' in generationConfig"),
    ({"contents": [], "generationConfig": {"thinkingConfig": {"includeThoughts": {}}}}, "thinkingConfig"),
    ({"contents": [], "generationConfig": {"temperature": "warm"}}, "generationConfig.temperature"),
    ({"contents": [], "systemInstruction": {"parts": [{"inlineData": {"data": "x"}}]}}, "systemInstruction"),
]


@pytest.mark.parametrize(("body", "words"), REFUSED)
def test_what_cannot_be_passed_on_is_refused_by_name(body: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        _read(body)


@pytest.mark.parametrize("depth", [100, 900, 100_000])
def test_deep_json_is_taken_or_refused(depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"contents":[],"tools":[{"functionDeclarations":[{"name":"f","parameters":%b}]}]}' % deep
    dialect = Generate()
    try:
        dialect.read(body, Head("m", is_stream=False, max_tokens=None, user="", metadata={}, wants_usage=True))
    except Invalid as error:
        assert "deep" in error.message  # noqa: PT017  both outcomes are right, no other is


def test_calls_without_ids_are_known_by_their_place() -> None:
    call: dict[str, Any] = {"functionCall": {"name": "f", "args": {}}}
    other: dict[str, Any] = {"functionCall": {"name": "g", "args": {}}}
    results = [{"functionResponse": {"name": name, "response": {"output": name}}} for name in ("g", "f", "f")]
    request: dict[str, Any] = {
        "contents": [{"role": "model", "parts": [call, other, call]}, {"role": "user", "parts": results}]
    }
    chat = _read(request)
    ids = [each["id"] for each in chat["messages"][0]["tool_calls"]]
    assert ids == ["call_rondel_0", "call_rondel_1", "call_rondel_2"]
    assert [each["tool_call_id"] for each in chat["messages"][1:]] == [ids[1], ids[0], ids[2]]
    assert _asked(chat)["contents"][0]["parts"] == [call, other, call]


def test_pieces_of_one_answer_are_one_message() -> None:
    pieces = [{"role": "model", "parts": [{"text": text}]} for text in ("Hel", "lo")]
    chat = _read({"contents": [{"role": "user", "parts": [{"text": "hi"}]}, *pieces]})
    assert chat["messages"][1:] == [{"role": "assistant", "content": "Hello"}]


def test_results_come_right_after_the_calls() -> None:
    call = {"functionCall": {"name": "f", "id": "1"}}
    mixed = [{"text": "Go on."}, {"functionResponse": {"name": "f", "id": "1", "response": {"a": 1}}}]
    chat = _read({"contents": [{"role": "model", "parts": [call]}, {"role": "user", "parts": mixed}]})
    assert [message["role"] for message in chat["messages"]] == ["assistant", "tool", "user"]


# What stands aside is for Gemini alone


def test_a_model_of_another_kind_is_not_sent_what_only_gemini_knows() -> None:
    request = {
        "contents": [{"role": "model", "parts": [{"text": "x", "thoughtSignature": "c2ln"}]}],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    }
    dialect, body = Generate(), json.dumps(request).encode()
    fields = dialect.read(body, dialect.head(PATH, {}, body))
    assert ASIDE in fields
    sent = json.loads(OpenAI().encode(Call(Operation.CHAT, "gpt", fields, is_stream=False, is_translated=True)))
    assert sent == {"model": "gpt", "messages": [{"role": "assistant", "content": "x"}], "stream": False}


def test_a_changed_effort_counts_more_than_the_callers_own_words() -> None:
    request: dict[str, Any] = {"contents": [], "generationConfig": {"thinkingConfig": {"thinkingBudget": 500}}}
    chat = _read(request)
    assert _asked(chat)["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 500}
    changed = _asked({**chat, "reasoning_effort": "high"})
    assert changed["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 24576, "includeThoughts": True}


# OpenAI's chat as a request


@pytest.mark.parametrize(
    ("effort", "model", "config"),
    [
        ("none", "gemini-2.5-flash", {"thinkingBudget": 0}),
        ("low", "gemini-2.5-pro", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("high", "gemini-2.5-pro", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("none", "gemini-3-flash", {"thinkingLevel": "MINIMAL"}),
        ("medium", "gemini-3.5-flash", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
    ],
)
def test_effort_is_said_as_the_model_knows_it(effort: str, model: str, config: dict[str, Any]) -> None:
    asked = _asked(_chat(reasoning_effort=effort), model)
    assert asked["generationConfig"] == {"thinkingConfig": config}


def test_googles_own_extra_body_is_understood() -> None:
    google = {"thinking_config": {"thinking_budget": 7}, "cached_content": "cachedContents/1"}
    asked = _asked(_chat(extra_body={"google": google}, reasoning_effort="low"))
    assert asked["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 7}
    assert asked["cachedContent"] == "cachedContents/1"


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_an_unsigned_call_is_sent_as_google_says_to_models_that_want_signatures() -> None:
    history = [{"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]}]
    first, second = _asked(_chat(*history), "gemini-3-pro")["contents"][0]["parts"]
    assert first["thoughtSignature"] == UNSIGNED
    assert "thoughtSignature" not in second
    assert "thoughtSignature" not in _asked(_chat(*history), "gemini-2.5-pro")["contents"][0]["parts"][0]


def test_signatures_as_googles_openai_endpoint_tells_them_are_sent_back() -> None:
    signed = {**CALL, "extra_content": {"google": {"thought_signature": "c2ln"}}}
    asked = _asked(_chat({"role": "assistant", "tool_calls": [signed]}), "gemini-3-pro")
    assert asked["contents"][0]["parts"][0]["thoughtSignature"] == "c2ln"


def test_instructions_are_one_and_results_of_parallel_calls_stand_together() -> None:
    asked = _asked(
        _chat(
            {"role": "system", "content": "A"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": "c2"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "developer", "content": [{"type": "text", "text": "B"}]},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": '{"a":1}'}]},
            {"role": "user", "content": "And?"},
        )
    )
    assert asked["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}]}
    assert [content["role"] for content in asked["contents"]] == ["user", "model", "user", "user"]
    assert [part["functionResponse"] for part in asked["contents"][2]["parts"]] == [
        {"id": "c1", "name": "f", "response": {"output": "sun"}},
        {"id": "c2", "name": "f", "response": {"a": 1}},
    ]


def test_instructions_alone_are_said_by_the_user() -> None:
    asked = _asked(_chat({"role": "system", "content": "Sing."}))
    assert asked == {"contents": [{"role": "user", "parts": [{"text": "Sing."}]}]}


def test_a_signature_of_text_that_was_changed_is_left_out() -> None:
    detail = {"type": "reasoning.encrypted", "data": "c2ln", "id": "text:3-9", "format": "google-gemini-v1"}
    asked = _asked(_chat({"role": "assistant", "content": "Hello", "reasoning_details": [detail]}))
    assert asked["contents"][0]["parts"] == [{"text": "Hello"}]


@pytest.mark.parametrize(
    ("chat", "words"),
    [
        ({"messages": None}, "messages"),
        (_chat(logit_bias={"1": 5}), "'logit_bias' has no counterpart"),
        (_chat(web_search_options={"a": 1}), "'web_search_options'"),
        (_chat(chat_template_kwargs={"a": 1}), "'chat_template_kwargs'"),
        (_chat(modalities=["text", "audio"]), "'audio'"),
        (_chat(reasoning_effort="extreme"), "'extreme'"),
        (_chat(response_format={"type": "grammar"}), "response_format"),
        (_chat(tools=[{"type": "custom", "custom": {"name": "x"}}]), "tools\\[0\\]"),
        (_chat(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="maybe"), "'maybe'"),
        (_chat({"role": "oracle", "content": "x"}), "'oracle'"),
        (_chat({"role": "user", "content": []}), "messages\\[0\\] says nothing"),
        (_chat({"role": "user", "content": [{"type": "hologram"}]}), "content\\[0\\]"),
        (_chat({"role": "tool", "tool_call_id": "c9", "content": "x"}), "'c9'"),
        (_chat({"role": "assistant", "tool_calls": [{"id": "1"}]}), "tool call without"),
        (
            _chat({"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "[1"}}]}),
            "arguments for 'f'",
        ),
    ],
)
def test_what_gemini_cannot_be_asked_is_refused_by_name(chat: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        _asked(chat)


def test_fields_that_change_no_answers_meaning_are_left_out() -> None:
    chat = _chat(user="u", store=True, parallel_tool_calls=True, stream=True, logit_bias={}, metadata={"a": "b"})
    assert _asked(chat) == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


# Whatever comes

_keys = st.sampled_from(
    [
        *("contents", "parts", "role", "text", "inlineData", "inline_data", "mimeType", "data", "functionCall", "name"),
        *("args", "functionResponse", "response", "id", "tools", "functionDeclarations", "parameters", "properties"),
        *("generationConfig", "responseSchema", "responseMimeType", "thinkingConfig", "thoughtSignature", "thought"),
        *("messages", "content", "type", "tool_calls", "function", "arguments", "tool_call_id", "image_url", "url"),
        *("reasoning_details", "format", "extra_content", "extra_body", "google", "tool_choice", "stop", ASIDE),
    ]
)
_words = st.sampled_from(["user", "model", "assistant", "tool", "system", "text", "function", "google-gemini-v1", "{}"])
_any = st.recursive(
    st.none() | st.booleans() | st.integers() | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(_keys, _any, max_size=5), _any)
def test_a_request_is_read_or_refused_whatever_it_is(body: dict[str, Any], contents: Any) -> None:
    for request in (body, {**body, "contents": contents}, {"contents": [{"parts": contents}]}):
        try:
            _read(request)
        except Invalid as error:
            assert error.message.endswith((".", "..."))  # noqa: PT017  both outcomes are right, no other is


@given(st.dictionaries(_keys, _any, max_size=5), _any)
def test_a_chat_is_asked_or_refused_whatever_it_is(chat: dict[str, Any], messages: Any) -> None:
    for one in (chat, {**chat, "messages": messages}, _chat({"role": "assistant", **chat}), _chat(content=messages)):
        try:
            _asked(one)
        except Invalid as error:
            assert error.message.endswith(".")  # noqa: PT017  both outcomes are right, no other is
