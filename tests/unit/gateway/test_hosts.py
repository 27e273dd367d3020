"""What is sent to hosts that refuse what others take."""

import json
from typing import Any

import msgspec
import pytest

from rondel.gateway.models import Operation
from rondel.gateway.ports import Call
from rondel.gateway.providers.hosts import VLLM, XAI, Fireworks, Groq, Mistral
from rondel.gateway.providers.openai import OpenAI, OpenAICompatible
from rondel.gateway.rules import raw

THOUGHT = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm.", "reasoning_details": [{"type": "x"}]}
ASKED: dict[str, Any] = {
    "model": "route",
    "messages": [{"role": "user", "content": 'say "reasoning_content"'}, THOUGHT],
    "stream_options": {"include_usage": True},
    "store": False,
    "user": "ada",
    "prompt_cache_key": "k",
    "x_new": 1.5,
}


def _sent(provider: OpenAICompatible, **more: Any) -> dict[str, Any]:
    fields = {name: raw(value) for name, value in {**ASKED, **more}.items()}
    return json.loads(provider.encode(Call(Operation.CHAT, "m", fields, is_stream=True)))


def test_a_server_gets_all_that_was_said() -> None:
    assert _sent(VLLM()) == {**ASKED, "model": "m"}


def test_groq_gets_no_reasoning_back() -> None:
    """https://github.com/janhq/jan/issues/8136: 400, property 'reasoning_content' is unsupported."""
    sent = _sent(Groq())
    assert sent["messages"] == [ASKED["messages"][0], {"role": "assistant", "content": "Yes."}]
    assert sent["x_new"] == 1.5


def test_mistral_gets_its_own_fields() -> None:
    """https://github.com/Gitlawb/openclaude/issues/739 and https://github.com/charmbracelet/crush/issues/1590: 422 for
    `store`, `stream_options` and `reasoning_content`; its `prompt_cache_key` is its own."""
    sent = _sent(Mistral())
    assert sent["messages"][1] == {"role": "assistant", "content": "Yes."}
    assert sent.keys() == {"model", "messages", "prompt_cache_key", "x_new"}


def test_messages_without_reasoning_keep_their_bytes() -> None:
    messages = b'[{"role":"user",  "content":"hi", "x":1e2}]'
    fields = {"messages": msgspec.Raw(messages)}
    assert messages in Groq().encode(Call(Operation.CHAT, "m", fields, is_stream=False))


def test_what_are_no_messages_is_left_to_the_server() -> None:
    assert _sent(Groq(), messages='"reasoning_content"')["messages"] == '"reasoning_content"'


@pytest.mark.parametrize("provider", [OpenAI(), XAI(), Groq(), Fireworks()])
def test_hosts_that_speak_responses_say_so(provider: OpenAICompatible) -> None:
    assert Operation.RESPONSES in provider.operations
    assert Operation.RESPONSES not in OpenAICompatible().operations
