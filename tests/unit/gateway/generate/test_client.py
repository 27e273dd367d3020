"""Google's official client works with any model that speaks OpenAI's chat."""

import json
from typing import Any

import pydantic
import pytest
from google.genai import errors, types

from rondel.gateway.dialects.extras import ASIDE
from rondel.gateway.ports import Chunk, Problem
from tests.unit.gateway.generate.gate import Gate, Refused, chunk, tool_call, usage_chunk, whole

PIXEL = bytes(range(250, 256)) * 3
"""Bytes whose base64 differs between the two alphabets."""


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sun in {city}"


def test_a_chat_is_answered() -> None:
    gate = Gate(lambda _: whole({"content": "Hello"}))
    answer = gate.client.models.generate_content(
        model="support",
        contents="hi",
        config=types.GenerateContentConfig(
            system_instruction="Be brief.", temperature=0.5, top_p=0.9, top_k=40, max_output_tokens=64, seed=7,
            stop_sequences=["END"], presence_penalty=0.1, frequency_penalty=0.2, candidate_count=1,
        ),
    )  # fmt: skip
    assert gate.asked == [
        {
            "model": "support",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "max_completion_tokens": 64,
            "seed": 7,
            "stop": ["END"],
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "stream": False,
        }
    ]
    assert answer.text == "Hello"
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    assert (answer.model_version, answer.response_id) == ("served", "chatcmpl-1")
    usage = answer.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (30, 10)
    assert (usage.candidates_token_count, usage.thoughts_token_count, usage.total_token_count) == (15, 5, 50)


def test_a_stream_is_told_piece_by_piece_and_its_usage_last() -> None:
    said = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"})]
    gate = Gate(lambda _: [*said, chunk({}, "length"), usage_chunk()])
    pieces = list(gate.client.models.generate_content_stream(model="support", contents="hi"))
    assert [piece.text for piece in pieces] == ["Hel", "lo", ""]
    assert gate.asked[0]["stream"] is True
    assert gate.asked[0]["stream_options"] == {"include_usage": True}
    assert [piece.usage_metadata is not None for piece in pieces] == [False, False, True]
    last = pieces[-1].candidates
    assert last is not None
    assert last[0].finish_reason is types.FinishReason.MAX_TOKENS


def test_several_candidates_keep_their_places() -> None:
    said = [chunk({"content": "a"}, index=0), chunk({"content": "b"}, index=1), chunk({}, "stop", 0)]
    gate = Gate(lambda _: [*said, chunk({}, "stop", 1), usage_chunk()])
    config = types.GenerateContentConfig(candidate_count=2)
    pieces = list(gate.client.models.generate_content_stream(model="m", contents="hi", config=config))
    assert gate.asked[0]["n"] == 2
    told = [
        (c.index, c.content.parts[0].text) for p in pieces for c in p.candidates or () if c.content and c.content.parts
    ]
    assert told == [(0, "a"), (1, "b"), (0, ""), (1, "")]


def test_functions_are_called_by_the_client_itself() -> None:
    def model(asked: dict[str, Any]) -> Chunk:
        if asked["messages"][-1]["role"] == "tool":
            return whole({"content": "It is " + json.loads(asked["messages"][-1]["content"])["result"]})
        return whole({"content": None, "tool_calls": [tool_call("weather", '{"city":"Oslo"}')]}, "tool_calls")

    gate = Gate(model)
    chat = gate.client.chats.create(model="support", config=types.GenerateContentConfig(tools=[weather]))
    assert chat.send_message("How is it in Oslo?").text == "It is sun in Oslo"
    function = gate.asked[0]["tools"][0]["function"]
    assert function["name"] == "weather"
    assert function["parameters"]["properties"]["city"]["type"] == "string"
    call, result = gate.asked[1]["messages"][-2:]
    assert call["tool_calls"] == [tool_call("weather", '{"city":"Oslo"}')]
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": '{"result":"sun in Oslo"}'}


def test_functions_of_a_stream_are_called_by_the_client_itself() -> None:
    def model(asked: dict[str, Any]) -> list[Chunk]:
        if asked["messages"][-1]["role"] == "tool":
            return [chunk({"content": "sun"}), chunk({}, "stop"), usage_chunk()]
        first = chunk({"tool_calls": [tool_call("weather", "", index=0)]})
        pieces = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": a}}]}) for a in ('{"ci', 'ty":"Rom"}')]
        return [first, *pieces, chunk({}, "tool_calls"), usage_chunk()]

    gate = Gate(model)
    chat = gate.client.chats.create(model="support", config=types.GenerateContentConfig(tools=[weather]))
    pieces = list(chat.send_message_stream("And in Rome?"))
    assert "".join(piece.text or "" for piece in pieces if piece.candidates) == "sun"
    assert json.loads(gate.asked[1]["messages"][-1]["content"]) == {"result": "sun in Rom"}
    list(chat.send_message_stream("And now?"))
    roles = [message["role"] for message in gate.asked[2]["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


@pytest.mark.parametrize(
    ("mode", "names", "choice"),
    [
        ("AUTO", None, "auto"),
        ("NONE", None, "none"),
        ("ANY", None, "required"),
        ("ANY", ["weather"], {"type": "function", "function": {"name": "weather"}}),
        (
            "ANY",
            ["weather", "other"],
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "weather"}},
                        {"type": "function", "function": {"name": "other"}},
                    ],
                },
            },
        ),
    ],
)
def test_which_functions_may_be_called(mode: str, names: list[str] | None, choice: object) -> None:
    gate = Gate(lambda _: whole({"content": "x"}))
    calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode(mode), allowed_function_names=names)
    config = types.GenerateContentConfig(
        tools=[weather],
        tool_config=types.ToolConfig(function_calling_config=calling),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    gate.client.models.generate_content(model="m", contents="hi", config=config)
    assert gate.asked[0]["tool_choice"] == choice


def test_a_declaration_in_geminis_own_schema_is_a_json_schema() -> None:
    gate = Gate(lambda _: whole({"content": "x"}))
    schema = types.Schema(
        type=types.Type.OBJECT,
        properties={
            "b": types.Schema(type=types.Type.INTEGER, nullable=True, minimum=1),
            "a": types.Schema(type=types.Type.ARRAY, items=types.Schema(type=types.Type.STRING), min_items=2),
        },
        property_ordering=["a", "b"],
        required=["a"],
    )
    declared = types.FunctionDeclaration(name="f", description="F.", parameters=schema)
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    gate.client.models.generate_content(model="m", contents="hi", config=config)
    parameters = gate.asked[0]["tools"][0]["function"]["parameters"]
    assert parameters == {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "b": {"type": ["integer", "null"], "minimum": 1},
        },
        "required": ["a"],
    }
    assert list(parameters["properties"]) == ["a", "b"]


def test_images_audio_and_files_keep_their_bytes() -> None:
    gate = Gate(lambda _: whole({"content": "x"}))
    parts = [
        types.Part.from_text(text="What is this?"),
        types.Part.from_bytes(data=PIXEL, mime_type="image/png"),
        types.Part.from_bytes(data=PIXEL, mime_type="audio/wav"),
        types.Part.from_bytes(data=PIXEL, mime_type="application/pdf"),
        types.Part.from_uri(file_uri="https://x.test/a.jpg", mime_type="image/jpeg"),
    ]
    gate.client.models.generate_content(model="m", contents=types.Content(role="user", parts=parts))
    text, image, audio, file, uri = gate.asked[0]["messages"][0]["content"]
    base64 = "+vv8/f7/" * 3
    assert text == {"type": "text", "text": "What is this?"}
    assert image == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64}"}}
    assert audio == {"type": "input_audio", "input_audio": {"data": base64, "format": "wav"}}
    assert file == {"type": "file", "file": {"filename": "file", "file_data": f"data:application/pdf;base64,{base64}"}}
    assert uri == {"type": "image_url", "image_url": {"url": "https://x.test/a.jpg"}}


class Person(pydantic.BaseModel):
    """An answer in a form."""

    name: str
    age: int | None = None


@pytest.mark.parametrize("is_json_schema", [True, False])
def test_answers_in_a_form_are_parsed(is_json_schema: bool) -> None:
    gate = Gate(lambda _: whole({"content": '{"name":"Ada","age":36}'}))
    config = types.GenerateContentConfig(
        response_mime_type="application/json",
        response_schema=None if is_json_schema else Person,
        response_json_schema=Person.model_json_schema() if is_json_schema else None,
    )
    answer = gate.client.models.generate_content(model="m", contents="Who?", config=config)
    wanted = gate.asked[0]["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["schema"]["properties"]["name"]["type"] == "string"
    assert answer.parsed == ({"name": "Ada", "age": 36} if is_json_schema else Person(name="Ada", age=36))


def test_thoughts_are_told_and_what_only_gemini_knows_stands_aside() -> None:
    gate = Gate(lambda _: whole({"reasoning_content": "Hm.", "content": "Yes"}))
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=2000),
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=types.HarmBlockThreshold.BLOCK_NONE
            )
        ],
    )
    answer = gate.client.models.generate_content(model="m", contents="Well?", config=config)
    assert answer.candidates is not None
    assert answer.candidates[0].content is not None
    parts = answer.candidates[0].content.parts
    assert parts is not None
    assert [(part.text, part.thought) for part in parts] == [("Hm.", True), ("Yes", None)]
    assert answer.text == "Yes"
    asked = gate.asked[0]
    assert asked["reasoning_effort"] == "medium"
    assert asked[ASIDE]["google"] == {
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 2000}},
    }


@pytest.mark.parametrize("config", [None, types.ThinkingConfig(thinking_budget=9)])
def test_thoughts_are_kept_from_callers_who_did_not_ask(config: types.ThinkingConfig | None) -> None:
    gate = Gate(lambda _: whole({"reasoning_content": "Hm.", "content": "Yes"}))
    asked = types.GenerateContentConfig(thinking_config=config)
    answer = gate.client.models.generate_content(model="m", contents="Well?", config=asked)
    assert [part.text for part in answer.candidates[0].content.parts] == ["Yes"]


def test_signatures_of_any_model_come_back_to_it() -> None:
    theirs = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    call = tool_call("weather", '{"city":"Oslo"}')

    def model(asked: dict[str, Any]) -> Chunk:
        if asked["messages"][-1]["role"] == "tool":
            return whole({"content": "sun"})
        message = {"content": None, "reasoning_content": "Hm.", "reasoning_details": [theirs], "tool_calls": [call]}
        return whole(message, "tool_calls")

    gate = Gate(model)
    chat = gate.client.chats.create(model="support", config=types.GenerateContentConfig(tools=[weather]))
    chat.send_message("How is it in Oslo?")
    message = gate.asked[1]["messages"][1]
    assert theirs in message["reasoning_details"]
    assert message["tool_calls"] == [call]


def test_geminis_own_signatures_come_back_where_they_were() -> None:
    details = [
        {"type": "reasoning.text", "text": "Hm.", "format": "google-gemini-v1", "signature": "c2lnMA=="},
        {"type": "reasoning.encrypted", "data": "c2lnMQ==", "id": "call_1", "format": "google-gemini-v1"},
    ]
    call = tool_call("weather", '{"city":"Oslo"}')

    def model(asked: dict[str, Any]) -> list[Chunk]:
        if asked["messages"][-1]["role"] == "tool":
            return [chunk({"content": "sun"}), chunk({}, "stop")]
        said = chunk({"reasoning_content": "Hm.", "reasoning_details": details, "tool_calls": [{"index": 0, **call}]})
        return [said, chunk({}, "tool_calls"), usage_chunk()]

    gate = Gate(model)
    thinking = types.ThinkingConfig(include_thoughts=True)
    config = types.GenerateContentConfig(tools=[weather], thinking_config=thinking)
    chat = gate.client.chats.create(model="support", config=config)
    list(chat.send_message_stream("How is it in Oslo?"))
    assert gate.asked[1]["messages"][1]["reasoning_details"] == details


def test_log_probabilities_are_told() -> None:
    token = {"token": "Hi", "logprob": -0.1, "top_logprobs": [{"token": "Hi", "logprob": -0.1}]}

    def model(asked: dict[str, Any]) -> Chunk:
        assert (asked["logprobs"], asked["top_logprobs"]) == (True, 1)
        answer = whole({"content": "Hi"})
        answer["choices"][0]["logprobs"] = {"content": [token]}
        return answer

    config = types.GenerateContentConfig(response_logprobs=True, logprobs=1)
    answer = Gate(model).client.models.generate_content(model="m", contents="hi", config=config)
    assert answer.candidates is not None
    result = answer.candidates[0].logprobs_result
    assert result is not None
    assert result.chosen_candidates is not None
    assert result.chosen_candidates[0].log_probability == -0.1
    assert result.top_candidates is not None
    assert result.top_candidates[0].candidates is not None
    assert result.top_candidates[0].candidates[0].token == "Hi"


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (401, "UNAUTHENTICATED", errors.ClientError),
        (404, "NOT_FOUND", errors.ClientError),
        (429, "RESOURCE_EXHAUSTED", errors.ClientError),
        (503, "UNAVAILABLE", errors.ServerError),
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
def test_errors_are_read_by_the_client(status: int, name: str, kind: type[errors.APIError], is_stream: bool) -> None:
    def model(_: dict[str, Any]) -> Chunk:
        raise Refused(status, Problem("No.", code="because"))

    models = Gate(model).client.models
    with pytest.raises(kind) as told:
        if is_stream:
            list(models.generate_content_stream(model="m", contents="hi"))
        else:
            models.generate_content(model="m", contents="hi")
    assert (told.value.code, told.value.status, told.value.message) == (status, name, "No.")
    assert "because" in str(told.value)


def test_a_stream_that_broke_off_is_an_error_to_the_client() -> None:
    gate = Gate(lambda _: [chunk({"content": "Hel"})])
    pieces: list[str | None] = []
    with pytest.raises(errors.APIError, match="before it was whole"):
        for piece in gate.client.models.generate_content_stream(model="m", contents="hi"):
            pieces.append(piece.text)  # noqa: PERF401  what came before the error counts
    assert pieces == ["Hel"]


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        (types.Tool(google_search=types.GoogleSearch()), "googleSearch"),
        (types.Tool(code_execution=types.ToolCodeExecution()), "codeExecution"),
        (types.Tool(url_context=types.UrlContext()), "urlContext"),
    ],
)
def test_googles_own_tools_are_refused_by_name(tool: types.Tool, name: str) -> None:
    gate = Gate(lambda _: whole({"content": "x"}))
    with pytest.raises(errors.ClientError, match=f"'{name}' runs at Google"):
        gate.client.models.generate_content(model="m", contents="hi", config=types.GenerateContentConfig(tools=[tool]))
    assert gate.asked == []


def test_code_that_google_ran_is_refused_by_name() -> None:
    gate = Gate(lambda _: whole({"content": "x"}))
    code = types.Part(executable_code=types.ExecutableCode(code="1", language=types.Language.PYTHON))
    with pytest.raises(errors.ClientError, match="'executableCode'"):
        gate.client.models.generate_content(model="m", contents=[types.Content(role="model", parts=[code])])
