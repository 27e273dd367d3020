"""Requests to Bedrock, held against botocore's model of the service."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.gateway.dialects.converse.requests import document_name
from rondel.gateway.dialects.messages.reading import read
from rondel.gateway.models import Fields, Operation
from rondel.gateway.ports import Call
from rondel.gateway.providers.bedrock import Bedrock
from rondel.gateway.rules import raw
from tests.unit.gateway.providers.aws import understood

CLAUDE = "us.anthropic.claude-opus-5-5-v1:0"
OLDER = "anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-2-lite-v1:0"
PROVIDER = Bedrock(region="eu-central-1")
PNG = base64.b64encode(b"\x89PNG").decode()
MARK = {"type": "ephemeral", "ttl": "1h"}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Says it.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": True,
    },
}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}


def fields_of(**asked: Any) -> Fields:
    asked = {"model": "route", "messages": [{"role": "user", "content": "hi"}], **asked}
    return {name: raw(value) for name, value in asked.items()}


def told(model: str = CLAUDE, fields: Fields | None = None, *, is_stream: bool = False, **asked: Any) -> dict[str, Any]:
    """The request's body, which botocore holds valid."""
    call = Call(Operation.CHAT, model, fields or fields_of(**asked), is_stream=is_stream)
    return understood(PROVIDER.encode(call), PROVIDER.path(call), model, is_stream=is_stream)


@pytest.mark.parametrize("model", [CLAUDE, NOVA, "amazon.nova-pro-v1:0"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_a_chat(model: str, is_stream: bool) -> None:
    assert told(
        model,
        is_stream=is_stream,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "bye"},
        ],
        max_tokens=50,
        temperature=0.5,
        top_p=0.9,
        stop=["END"],
        service_tier="priority",
        stream=is_stream,
        user="u-1",
    ) == {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "hi"}]},
            {"role": "assistant", "content": [{"text": "Hello."}]},
            {"role": "user", "content": [{"text": "bye"}]},
        ],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
        "serviceTier": {"type": "priority"},
    }


def test_fields_of_the_model_and_of_converse_have_places_of_their_own() -> None:
    body = told(
        top_k=5,
        guardrailConfig={"guardrailIdentifier": "g", "guardrailVersion": "1"},
        requestMetadata={"team": "x"},
        additionalModelRequestFields={"novelty": [1]},
    )
    assert body["additionalModelRequestFields"] == {"top_k": 5, "novelty": [1]}
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g", "guardrailVersion": "1"}
    assert body["requestMetadata"] == {"team": "x"}


def test_tools_their_calls_and_their_results() -> None:
    body = told(
        NOVA,
        tools=[{**TOOL, "cache_control": MARK}],
        tool_choice="required",
        messages=[
            {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "sun", "anthropic": {"is_error": False}},
            {"role": "user", "content": "Well?"},
        ],
    )
    assert body["toolConfig"] == {
        "tools": [
            {
                "toolSpec": {
                    "name": "weather",
                    "description": "Says it.",
                    "inputSchema": {"json": TOOL["function"]["parameters"]},
                    "strict": True,
                }
            },
            {"cachePoint": {"type": "default", "ttl": "1h"}},
        ],
        "toolChoice": {"any": {}},
    }
    assert body["messages"] == [
        {
            "role": "assistant",
            "content": [
                {"text": "Let me see."},
                {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Ulm"}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "sun"}], "status": "success"}},
                {"text": "Well?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("model", "asked", "choice", "more"),
    [
        (NOVA, {}, None, None),
        (NOVA, {"tool_choice": "auto", "parallel_tool_calls": True}, {"auto": {}}, None),
        (
            NOVA,
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"tool": {"name": "weather"}},
            None,
        ),
        (CLAUDE, {"tool_choice": "none"}, None, {"tool_choice": {"type": "none"}}),
        (
            CLAUDE,
            {"tool_choice": "required", "parallel_tool_calls": False},
            None,
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        ),
    ],
)
def test_every_tool_choice(model: str, asked: dict[str, Any], choice: object, more: object) -> None:
    body = told(model, tools=[TOOL], **asked)
    assert body["toolConfig"].get("toolChoice") == choice
    assert body.get("additionalModelRequestFields") == more


def test_a_model_that_may_not_call_is_given_no_tools() -> None:
    assert "toolConfig" not in told(NOVA, tools=[TOOL], tool_choice="none")


def test_images_documents_thoughts_and_cache_marks_of_a_messages_caller() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    request: dict[str, Any] = {
        "model": "m",
        "max_tokens": 10_000,
        "system": [{"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "messages": [
            {"role": "user", "content": [image, {"type": "document", "source": pdf, "title": "terms_2.pdf"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [image], "is_error": True},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
                ],
            },
        ],
    }
    body = told(OLDER, read(json.dumps(request).encode()))
    picture = {"image": {"format": "png", "source": {"bytes": PNG}}}
    assert body["system"] == [{"text": "long"}, {"cachePoint": {"type": "default"}}]
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    assert [turn["content"] for turn in body["messages"]] == [
        [picture, {"document": {"format": "pdf", "name": "terms 2 pdf", "source": {"bytes": "JVBERi0="}}}],
        [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": "ZGF0YQ=="}},
            {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {}}},
        ],
        [
            {"toolResult": {"toolUseId": "t1", "content": [picture], "status": "error"}},
            {"document": {"format": "txt", "name": "document", "source": {"text": "plain"}}},
        ],
    ]


def test_a_json_schema_is_an_output_format() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    config = told(response_format=form)["outputConfig"]
    definition = config["textFormat"]["structure"]["jsonSchema"]
    assert definition["name"] == "verdict"
    assert json.loads(definition["schema"]) == schema


@pytest.mark.parametrize(
    ("model", "effort", "config", "more"),
    [
        (CLAUDE, "high", {"effort": "high"}, {"thinking": {"type": "adaptive"}}),
        (OLDER, "low", None, {"thinking": {"type": "enabled", "budget_tokens": 3276}}),
        (NOVA, "minimal", {"effort": "low"}, None),
        (CLAUDE, "none", None, {"thinking": {"type": "disabled"}}),
    ],
)
def test_an_effort_is_asked_for_as_the_model_takes_it(model: str, effort: str, config: object, more: object) -> None:
    body = told(model, reasoning_effort=effort)
    assert body.get("outputConfig") == config
    assert body.get("additionalModelRequestFields") == more
    assert body.get("inferenceConfig") == ({"maxTokens": 16_384} if more else None)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"n": 2}, "'n'"),
        ({"temperature": 1.1}, "'temperature'"),
        ({"service_tier": "scale"}, "'scale'"),
        ({"reasoning_effort": "none"}, "'reasoning_effort'"),
        ({"tools": [TOOL], "parallel_tool_calls": False}, "'parallel_tool_calls'"),
        (
            {"tools": [TOOL], "tool_choice": "none", "messages": [{"role": "assistant", "tool_calls": [CALL]}]},
            "forbid",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.test"}}]}
                ]
            },
            "data: URL",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,"}}],
                    }
                ]
            },
            "'image/tiff'",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "data: URL"),
        (
            {"messages": [{"role": "user", "content": "x", "cache_control": 1}], "tools": [{"type": "custom"}]},
            "'custom'",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(asked: dict[str, Any], said: str) -> None:
    call = Call(Operation.CHAT, NOVA, fields_of(**asked), is_stream=False)
    with pytest.raises(Invalid, match=said):
        PROVIDER.encode(call)


@given(st.text(max_size=300))
def test_a_document_has_a_name_that_bedrock_takes(title: str) -> None:
    """Letters, digits, single spaces, hyphens, brackets: see `DocumentBlock.name` in the service model."""
    name = document_name(title)
    assert 1 <= len(name) <= 200
    assert "  " not in name
    assert all(sign.isascii() and (sign.isalnum() or sign in " -()[]") for sign in name)


def test_what_a_tool_was_given_keeps_its_bytes() -> None:
    call = {**CALL, "function": {"name": "weather", "arguments": '{"at": 1.50}'}}
    fields = fields_of(messages=[{"role": "assistant", "tool_calls": [call]}])
    assert b'{"at": 1.50}' in PROVIDER.encode(Call(Operation.CHAT, CLAUDE, fields, is_stream=False))
