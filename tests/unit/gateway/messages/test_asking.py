"""Chat requests, told as Messages requests."""

import json
from typing import Any

import msgspec
import pytest
from anthropic.types.message_create_params import MessageCreateParams
from pydantic import TypeAdapter

from rondel.errors import Invalid
from rondel.gateway.dialects.messages.asking import ask
from rondel.gateway.dialects.messages.efforts import is_adaptive
from rondel.gateway.models import Fields
from rondel.gateway.rules import raw

_PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Says it.", "parameters": {"type": "object", "properties": {}}},
}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}


def fields_of(**asked: Any) -> Fields:
    return {name: raw(value) for name, value in asked.items()}


def told(model: str = "claude-opus-5-5", **asked: Any) -> dict[str, Any]:
    """The request's body; the official client's own types hold it valid."""
    fields = fields_of(**{"model": "route", "messages": [{"role": "user", "content": "hi"}], **asked})
    body: dict[str, Any] = json.loads(ask(fields, model, default_max_tokens=4096))
    _PARAMS.validate_python(body)
    return body


def test_a_chat() -> None:
    assert told(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b"}]},
        ],
        max_completion_tokens=50,
        temperature=0.5,
        top_p=0.9,
        stop="END",
        user="u-1",
        service_tier="auto",
        n=1,
        logprobs=False,
        presence_penalty=0,
        metadata={"session": "s"},
        stream=True,
        stream_options={"include_usage": True},
    ) == {
        "model": "claude-opus-5-5",
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ],
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
        "service_tier": "auto",
        "stream": True,
    }


def test_a_request_without_a_limit_gets_one() -> None:
    assert told()["max_tokens"] == 4096
    assert told(max_tokens=7)["max_tokens"] == 7


def test_system_messages_stand_together_wherever_they_were() -> None:
    body = told(
        messages=[
            {"role": "system", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "c"},
            {"role": "user", "content": "ho"},
        ]
    )
    assert [block["text"] for block in body["system"]] == ["a", "b", "c"]
    assert [turn["role"] for turn in body["messages"]] == ["user"]


def test_images_and_files() -> None:
    body = told(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
                ],
            }
        ]
    )
    assert body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            "title": "a.pdf",
        },
    ]


def test_calls_and_their_results_are_turns() -> None:
    body = told(
        tools=[TOOL, {"type": "function", "function": {"name": "now"}}],
        messages=[
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [CALL, {**CALL, "id": "c2", "function": {"name": "now", "arguments": ""}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "noon"}]},
            {"role": "user", "content": "Well?"},
        ],
    )
    assert body["tools"][1] == {"name": "now", "input_schema": {"type": "object", "properties": {}}}
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Ulm"}},
                {"type": "tool_use", "id": "c2", "name": "now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "sun"}]},
                {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "noon"}]},
                {"type": "text", "text": "Well?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("asked", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"type": "tool", "name": "weather"},
        ),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
        (
            {"tool_choice": "required", "parallel_tool_calls": True},
            {"type": "any", "disable_parallel_tool_use": False},
        ),
    ],
)
def test_every_tool_choice(asked: dict[str, Any], choice: object) -> None:
    assert told(tools=[TOOL], **asked).get("tool_choice") == choice


def test_a_json_schema_is_an_output_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    assert told(response_format=form)["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert told(response_format=form, reasoning_effort="low")["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": schema},
    }
    assert "output_config" not in told(response_format={"type": "text"})


@pytest.mark.parametrize(
    ("model", "effort", "asked"),
    [
        ("claude-opus-5-5", "high", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        ("claude-sonnet-4-6", "minimal", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("claude-haiku-4-5", "medium", {"thinking": {"type": "enabled", "budget_tokens": 5000}}),
        ("claude-sonnet-4-5-20250929", "low", {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ("claude-opus-5-5", "none", {"thinking": {"type": "disabled"}}),
    ],
)
def test_an_effort_is_asked_for_as_the_model_takes_it(model: str, effort: str, asked: dict[str, Any]) -> None:
    body = told(model, reasoning_effort=effort, max_completion_tokens=10_000)
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == asked


@pytest.mark.parametrize(
    ("model", "is_new"),
    [
        ("claude-opus-5-5", True),
        ("claude-opus-4-6", True),
        ("claude-sonnet-5", True),
        ("claude-mythos-preview", True),
        ("some-alias", True),
        ("claude-haiku-4-5-20251001", False),
        ("claude-opus-4-20250514", False),
        ("claude-3-7-sonnet-20250219", False),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", False),
        ("us.anthropic.claude-opus-4-6-v1", True),
    ],
)
def test_a_models_name_tells_how_it_thinks(model: str, is_new: bool) -> None:
    assert is_adaptive(model) is is_new


@pytest.mark.parametrize(
    "asked",
    [
        {"max_completion_tokens": 1024},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "messages": [{"role": "assistant", "tool_calls": [CALL]}]},
    ],
)
def test_no_thought_is_asked_for_where_it_would_be_refused(asked: dict[str, Any]) -> None:
    assert "thinking" not in told("claude-haiku-4-5", reasoning_effort="high", **asked)


def test_a_new_effort_wins_over_how_the_caller_asked() -> None:
    mine = {"thinking": {"type": "enabled", "budget_tokens": 2048}, "output_config": {"effort": "high"}}
    kept = told(reasoning_effort="high", anthropic=mine)
    assert {**kept, **mine} == kept
    assert told(reasoning_effort="low", anthropic=mine)["output_config"] == {"effort": "low"}


def test_fields_that_nobody_knows_pass_as_they_are() -> None:
    fields = fields_of(messages=[{"role": "user", "content": "x"}])
    body = ask({**fields, "context_management": msgspec.Raw(b'{"edits": [1.50]}')}, "m", default_max_tokens=1)
    assert b'"context_management":{"edits": [1.50]}' in body


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"n": 2}, "'n'"),
        ({"logprobs": True}, "'logprobs'"),
        ({"top_logprobs": 3}, "'top_logprobs'"),
        ({"logit_bias": {"5": 1}}, "'logit_bias'"),
        ({"seed": 1}, "'seed'"),
        ({"presence_penalty": 0.5}, "'presence_penalty'"),
        ({"audio": {"voice": "x"}}, "'audio'"),
        ({"modalities": ["text", "audio"]}, "'modalities'"),
        ({"functions": []}, "'functions'"),
        ({"web_search_options": {}}, "'web_search_options'"),
        ({"temperature": 1.5}, "'temperature'"),
        ({"reasoning_effort": "huge"}, "'huge'"),
        ({"response_format": {"type": "json_object"}}, "'json_object'"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "'schema'"),
        ({"service_tier": "flex"}, "'flex'"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "'custom'"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "'allowed_tools'"),
        ({"tools": [TOOL], "tool_choice": "some"}, "'some'"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "'input_audio'"),
        ({"messages": [{"role": "function", "content": "x"}]}, "'function'"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "x"}}]}, "'function_call'"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "'tool_call_id'"),
        ({"messages": [{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}]}, "'custom'"),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "x", "arguments": "["}}]}
                ]
            },
            "'arguments'",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]}, "data:"),
        ({"messages": "hi"}, "'messages'"),
        ({"messages": [{"role": "user", "content": 1}]}, "'content'"),
        ({"stop": 5}, "'stop'"),
        ({"max_tokens": "x"}, "'max_tokens'"),
        ({"parallel_tool_calls": "x", "tools": [TOOL]}, "'parallel_tool_calls'"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(asked: dict[str, Any], said: str) -> None:
    fields = fields_of(**{"messages": [{"role": "user", "content": "hi"}], **asked})
    with pytest.raises(Invalid, match=said):
        ask(fields, "claude-opus-5-5", default_max_tokens=1)
