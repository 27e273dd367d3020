"""Requests of the official client, read as chat completions."""

import json
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from rondel.errors import Invalid
from rondel.gateway.dialects.messages.dialect import Messages, caller_of
from rondel.gateway.models import Fields
from tests.unit.gateway.messages.client import Wire, whole

TOOL: Any = {
    "name": "weather",
    "description": "Says the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def read(body: bytes) -> Fields:
    dialect = Messages()
    return dialect.read(body, dialect.head("/v1/messages", {}, body))


def plain(fields: Fields) -> dict[str, Any]:
    return {name: msgspec.json.decode(value) for name, value in fields.items()}


def sent(**asked: Any) -> dict[str, Any]:
    """What the official client's request becomes."""
    wire = Wire(whole())
    defaults: dict[str, Any] = {"model": "support", "max_tokens": 100, "messages": []}
    wire.client().messages.create(**(defaults | asked))
    assert wire.targets == ["/v1/messages"]
    return plain(read(wire.bodies[0]))


def test_a_chat() -> None:
    assert sent(
        system="Be brief.",
        messages=[
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ],
        stop_sequences=["END"],
        metadata={"user_id": "u-1"},
        extra_body={"temperature": 0.25, "top_p": 0.5, "top_k": 7},
    ) == {
        "model": "support",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ],
        "max_completion_tokens": 100,
        "stop": ["END"],
        "user": "u-1",
        "temperature": 0.25,
        "top_p": 0.5,
        "top_k": 7,
    }


def test_a_stream_tells_its_usage() -> None:
    wire = Wire(b"", is_stream=True)
    wire.client().messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}], stream=True)
    fields = plain(read(wire.bodies[0]))
    assert fields["stream"] is True
    assert fields["stream_options"] == {"include_usage": True}
    assert Messages().head("/v1/messages", {}, wire.bodies[0]).wants_usage


def test_system_blocks_keep_their_cache_marks() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    fields = sent(system=[{"type": "text", "text": "long"}, {"type": "text", "text": "x", "cache_control": mark}])
    assert fields["messages"] == [
        {
            "role": "system",
            "content": [{"type": "text", "text": "long"}, {"type": "text", "text": "x", "cache_control": mark}],
        }
    ]


def test_images_and_documents() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    fields = sent(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                    {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
                    {"type": "document", "source": pdf, "title": "terms.pdf"},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
                ],
            }
        ]
    )
    assert fields["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
        {
            "type": "file",
            "file": {"filename": "terms.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
            "anthropic": {"title": "terms.pdf"},
        },
        {"type": "text", "text": "plain", "anthropic": {"type": "document"}},
    ]


def test_tools_their_calls_and_their_results() -> None:
    fields = sent(
        tools=[TOOL, {**TOOL, "name": "time", "cache_control": {"type": "ephemeral"}}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        messages=[
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Ulm"}},
                    {"type": "tool_use", "id": "t2", "name": "time", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "sun"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t2",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "no clock"},
                            {"type": "image", "source": {"type": "url", "url": "https://x.test/clock.png"}},
                        ],
                    },
                    {"type": "text", "text": "Well?"},
                ],
            },
        ],
    )
    assert fields["tools"][0] == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Says the weather.",
            "parameters": TOOL["input_schema"],
        },
    }
    assert fields["tools"][1]["cache_control"] == {"type": "ephemeral"}
    assert fields["tool_choice"] == "required"
    assert fields["parallel_tool_calls"] is False
    assert fields["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}},
                {"id": "t2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "sun"},
        {"role": "tool", "tool_call_id": "t2", "content": "no clock", "anthropic": {"is_error": True}},
        {
            "role": "user",
            "content": [
                {
                    "type": "image_url",
                    "image_url": {"url": "https://x.test/clock.png"},
                    "anthropic": {"result": {"tool_use_id": "t2", "at": 1}},
                },
                {"type": "text", "text": "Well?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_every_tool_choice(choice: Any, told: object) -> None:
    assert sent(tools=[TOOL], tool_choice=choice)["tool_choice"] == told


def test_thoughts_come_back_with_what_signs_them() -> None:
    fields = sent(
        messages=[
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "eHh4"},
                    {"type": "text", "text": "Yes."},
                ],
            }
        ]
    )
    assert fields["messages"][0] == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning_content": "Hm.",
        "reasoning_details": [
            {
                "type": "reasoning.text",
                "text": "Hm.",
                "signature": "c2ln",
                "format": "anthropic-claude-v1",
                "index": 0,
            },
            {"type": "reasoning.encrypted", "data": "eHh4", "format": "anthropic-claude-v1", "index": 1},
        ],
    }


@pytest.mark.parametrize(
    ("asked", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9900}}, "max"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, "xhigh"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "disabled"}}, None),
    ],
)
def test_thinking_is_an_effort(asked: dict[str, Any], effort: str | None) -> None:
    fields = sent(max_tokens=10_000, **asked)
    assert fields.get("reasoning_effort") == effort
    assert fields["anthropic"] == asked


class Verdict(BaseModel):
    label: str


def test_the_clients_structured_output_is_a_response_format() -> None:
    wire = Wire(whole(r"{\"label\":\"x\"}"))
    message = wire.client().messages.parse(
        model="m", max_tokens=10, messages=[{"role": "user", "content": "x"}], output_format=Verdict
    )
    assert message.parsed_output == Verdict(label="x")
    form = plain(read(wire.bodies[0]))["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"]["properties"] == {"label": {"title": "Label", "type": "string"}}


def test_the_service_tier_has_two_names() -> None:
    assert sent(service_tier="standard_only")["service_tier"] == "default"
    assert sent(service_tier="auto")["service_tier"] == "auto"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "'web_search'"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "'bash_20250124'"),
        ({"container": "c1"}, "'container'"),
        ({"extra_body": {"mcp_servers": [{"url": "https://x.test"}]}}, "'mcp_servers'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
            "'container_upload'",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "s3"}}]}]}, "'s3'"),
    ],
)
def test_what_only_anthropics_servers_do_is_refused_by_name(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        sent(**asked)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"max_tokens":1}',
        b'{"model":1}',
        b'{"model":"m","messages":1}',
        b'{"model":"m","messages":[1]}',
        b'{"model":"m","messages":[{"role":"user","content":5}]}',
        b'{"model":"m","messages":[{"role":"robot","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":[{"text":"x"}]}]}',
        b'{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"n","input":[]}]}]}',
        b'{"model":"m","messages":[],"tools":[{"name":"n"}]}',
        b'{"model":"m","messages":[],"tool_choice":{"type":"some"}}',
        b'{"model":"m","messages":[],"max_tokens":"many"}',
        b'{"model":"m","messages":[],"thinking":{"type":"enabled","budget_tokens":"all"}}',
        b"[" * 100_000,
        b'{"model":"m","messages":' + b"[" * 100_000,
        b'{"model":"m\xff"}',
    ],
)
def test_what_is_no_request_is_refused_in_a_sentence(body: bytes) -> None:
    with pytest.raises(Invalid):
        read(body)


def test_an_agents_session_is_in_its_header_or_in_its_user_id() -> None:
    """Source: https://code.claude.com/docs/en/llm-gateway-protocol (request headers)."""
    told = json.dumps({"device_id": "d", "account_uuid": "a", "session_id": "s-2"})
    assert caller_of("user_1f_account__session_s-1") == ("user_1f_account_", "s-1")
    assert caller_of(told) == ("a", "s-2")
    assert caller_of("{no json") == ("{no json", "")
    assert caller_of("u-1") == ("u-1", "")
    body = json.dumps({"model": "m", "max_tokens": 5, "metadata": {"user_id": told}}).encode()
    head = Messages().head("/v1/messages", {}, body)
    assert (head.model, head.max_tokens, head.user, head.metadata) == ("m", 5, "a", {"session": "s-2"})
    head = Messages().head("/v1/messages", {b"x-claude-code-session-id": b"s-3"}, body)
    assert head.metadata == {"session": "s-3"}


def test_a_count_of_tokens_is_read_too() -> None:
    wire = Wire(b'{"input_tokens":3}')
    counted = wire.client().messages.count_tokens(model="m", messages=[{"role": "user", "content": "x"}], tools=[TOOL])
    assert counted.input_tokens == 3
    assert wire.targets == ["/v1/messages/count_tokens"]
    assert plain(read(wire.bodies[0]))["messages"] == [{"role": "user", "content": "x"}]
