"""What OpenAI-compatible servers are told of a request that came from another dialect."""

import json
from typing import Any

import pytest

from rondel.gateway.dialects.messages.reading import read
from rondel.gateway.models import Fields, Operation
from rondel.gateway.ports import PROVIDERS, Call, Provider
from rondel.gateway.rules import raw

_MARK = {"type": "ephemeral"}
REQUEST: dict[str, Any] = {
    "model": "route",
    "max_tokens": 100,
    "stream": True,
    "thinking": {"type": "adaptive"},
    "metadata": {"user_id": "user_" + "0123456789abcdef" * 8},
    "system": [{"type": "text", "text": "Be brief.", "cache_control": _MARK}],
    "tools": [{"name": "see", "input_schema": {"type": "object"}, "cache_control": _MARK, "defer_loading": False}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": _MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "tool_use", "id": "t1", "name": "see", "input": {"cache_control": 1}, "cache_control": _MARK},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "is_error": True,
                    "content": [{"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}],
                }
            ],
        },
    ],
}


def asked(name: str, fields: Fields | None = None, *, is_translated: bool = True) -> dict[str, Any]:
    plugin: Any = PROVIDERS.get(name)
    provider: Provider = plugin()
    fields = read(json.dumps(REQUEST).encode()) if fields is None else fields
    call = Call(Operation.CHAT, "m", fields, is_stream=True, is_translated=is_translated)
    return json.loads(provider.encode(call))


def test_a_strict_server_is_told_nothing_but_openais_own_fields() -> None:
    assert asked("openai") == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 100,
        "user": asked("openai")["user"],
        "tools": [{"type": "function", "function": {"name": "see", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "see", "arguments": '{"cache_control": 1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": ""},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}],
            },
        ],
    }


def test_a_user_that_is_too_long_is_told_by_its_hash() -> None:
    user = asked("openai")["user"]
    assert len(user) == 64
    assert user == asked("groq")["user"]
    assert asked("openai", {"user": raw("u" * 64)})["user"] == "u" * 64


@pytest.mark.parametrize(
    ("name", "limit"),
    [("openai", "max_completion_tokens"), ("azure_openai", "max_completion_tokens"), ("mistral", "max_tokens")],
)
def test_the_limit_has_the_name_that_the_server_knows(name: str, limit: str) -> None:
    assert asked(name)[limit] == 100
    assert {"max_tokens", "max_completion_tokens"} & asked(name).keys() == {limit}


def test_a_server_that_refuses_stream_options_is_not_told_them() -> None:
    assert "stream_options" not in asked("mistral")


def test_a_server_is_told_the_extras_that_it_takes() -> None:
    assert asked("openrouter")["messages"][0]["content"][0]["cache_control"] == _MARK
    assert asked("openrouter")["messages"][2]["reasoning_details"][0]["signature"] == "c2ln"
    assert asked("deepseek")["messages"][2]["reasoning_content"] == "Hm."
    assert "cache_control" not in json.dumps(asked("deepseek")["messages"][1])


def test_what_an_openai_caller_sends_is_left_as_it_is() -> None:
    fields = {
        "max_completion_tokens": raw(5),
        "messages": raw([{"role": "user", "content": "x", "cache_control": _MARK}]),
        "anthropic": raw(1),
    }
    told = asked("mistral", fields, is_translated=False)
    assert told == {
        "max_completion_tokens": 5,
        "messages": [{"role": "user", "content": "x", "cache_control": _MARK}],
        "anthropic": 1,
        "model": "m",
    }
