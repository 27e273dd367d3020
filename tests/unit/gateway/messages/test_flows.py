"""Official clients through both translations, with the model at the end played by its wire format."""

import base64
import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import TextBlock, ThinkingBlock, ToolResultBlockParam, ToolUseBlock
from pydantic import BaseModel

from rondel.errors import Invalid
from rondel.gateway.dataplane.folding import fold
from rondel.gateway.dialects.events import Events, data_of, event_of
from rondel.gateway.dialects.messages.dialect import Messages
from rondel.gateway.models import Fields, Operation
from rondel.gateway.ports import Call, Chunk, Problem, Provider
from rondel.gateway.providers.anthropic import Anthropic
from rondel.gateway.providers.bedrock import Bedrock
from rondel.gateway.providers.openai import OpenAI
from rondel.gateway.rules import parse_fields, parse_head, raw
from tests.unit.gateway.messages import recorded
from tests.unit.gateway.providers import aws

Model = Callable[[dict[str, Any]], bytes]
"""A server: the body of a request in its dialect, and of its answer."""
PNG = base64.b64encode(b"\x89PNG").decode()


def answered(provider: Provider, fields: Fields, model: Model, *, is_stream: bool) -> list[Chunk]:
    """The chunks, or the one answer, of a provider's server."""
    call = Call(Operation.CHAT, "their-model", fields, is_stream=is_stream, is_translated=True)
    answer = model(json.loads(provider.encode(call)))
    decoder = provider.decoder(call)
    if decoder is not None:
        chunks = [chunk for place in range(0, len(answer), 11) for chunk in decoder.feed(answer[place : place + 11])]
        return chunks + decoder.end()
    if not is_stream:
        return [json.loads(answer)]
    return [json.loads(data) for event in Events().feed(answer) if (data := data_of(event)) != b"[DONE]"]


def messages_client(provider: Provider, model: Model) -> anthropic.Anthropic:
    """Anthropic's client, whose requests go through the dialect to a provider's server."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        dialect = Messages()
        head = dialect.head("/v1/messages", {}, request.content)
        try:
            fields = dialect.read(request.content, head)
        except Invalid as error:
            return httpx2.Response(400, content=dialect.error(400, Problem(error.message)))
        writer = dialect.writer(fields, head, request.content)
        chunks = answered(provider, fields, model, is_stream=head.is_stream)
        if not head.is_stream:
            return httpx2.Response(200, headers={"content-type": "application/json"}, content=writer.whole(chunks[0]))
        body = b"".join(map(writer.feed, chunks)) + writer.end()
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="k", base_url="http://gateway", max_retries=0, http_client=http_client)


def chat_client(provider: Provider, model: Model) -> openai.OpenAI:
    """OpenAI's client, whose requests go to a provider's server."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        head = parse_head(request.content)
        chunks = answered(provider, parse_fields(request.content), model, is_stream=head.is_stream)
        if not head.is_stream:
            return httpx2.Response(200, json=chunks[0])
        body = b"".join(event_of(bytes(raw(chunk))) for chunk in chunks) + b"data: [DONE]\n\n"
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://gateway/v1", max_retries=0, http_client=http_client)


def openais(asked: dict[str, Any]) -> bytes:
    """A model that calls the tool it is given, then says what it got; it streams as OpenAI does."""
    last = asked["messages"][-1]
    delta: dict[str, Any]
    if asked.get("response_format"):
        delta, reason = {"content": '{"label":"billing"}'}, "stop"
    elif asked.get("tools") and last["role"] != "tool":
        function = {"name": "weather", "arguments": '{"city": "Ulm"}'}
        delta, reason = (
            {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]},
            "tool_calls",
        )
    else:
        delta, reason = {"reasoning_content": "Hm.", "content": f"Got {last['content']}"}, "stop"
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    head: dict[str, Any] = {
        "id": "chatcmpl-1",
        "created": 1,
        "model": asked["model"],
        "object": "chat.completion.chunk",
    }
    chunks: list[Chunk] = [
        {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        {**head, "choices": [], "usage": usage},
    ]
    events = [bytes(raw(chunk)) for chunk in chunks]
    if not asked.get("stream"):
        return fold(events, Operation.CHAT).body
    return b"".join(map(event_of, events)) + b"data: [DONE]\n\n"


def anthropics(asked: dict[str, Any]) -> bytes:
    """The same model at Anthropic, which only streams; its last block of the user's is a tool's result, or is not."""
    last = asked["messages"][-1]["content"][-1]
    if asked.get("output_config", {}).get("format"):
        content, reason = {"type": "text", "text": '{"label":"billing"}'}, "end_turn"
    elif asked.get("tools") and last["type"] != "tool_result":
        content, reason = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ulm"}}, "tool_use"
    else:
        said = last["content"][0]["text"] if last["type"] == "tool_result" else last.get("text", last["type"])
        content, reason = {"type": "text", "text": f"Got {said}"}, "end_turn"
    return recorded.start() + recorded.block(0, content) + recorded.stop(reason)


def bedrocks(asked: dict[str, Any]) -> bytes:
    """The same model at Bedrock, which only streams."""
    last = asked["messages"][-1]["content"][-1]
    if asked.get("toolConfig") and "toolResult" not in last:
        start = {"toolUse": {"toolUseId": "tooluse_1", "name": "weather"}}
        body = aws.event("contentBlockStart", contentBlockIndex=0, start=start) + aws.event(
            "contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": '{"city": "Ulm"}'}}
        )
        reason = "tool_use"
    else:
        said = last["toolResult"]["content"][0]["text"] if "toolResult" in last else last.get("text", next(iter(last)))
        body = aws.event("contentBlockDelta", contentBlockIndex=0, delta={"text": f"Got {said}"})
        reason = "end_turn"
    return (
        aws.event("messageStart", role="assistant")
        + body
        + aws.event("contentBlockStop", contentBlockIndex=0)
        + aws.event("messageStop", stopReason=reason)
        + aws.event("metadata", usage={"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}, metrics={})
    )


SERVERS = [pytest.param(OpenAI(), openais, id="openai"), pytest.param(Bedrock(), bedrocks, id="bedrock")]
TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.mark.parametrize(("provider", "model"), SERVERS)
def test_anthropics_client_streams_from_another_model(provider: Provider, model: Model) -> None:
    client = messages_client(provider, model)
    with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream:
        assert "".join(stream.text_stream) == "Got hi"
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (9, 3)


@pytest.mark.parametrize(("provider", "model"), SERVERS)
def test_anthropics_client_uses_tools_with_another_model(provider: Provider, model: Model) -> None:
    client = messages_client(provider, model)
    turns: list[Any] = [{"role": "user", "content": "Weather?"}]
    asked: Any = {"model": "m", "max_tokens": 9, "tools": [TOOL]}
    with client.messages.stream(messages=turns, **asked) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    [call] = [block for block in message.content if isinstance(block, ToolUseBlock)]
    assert (call.name, call.input) == ("weather", {"city": "Ulm"})
    result: ToolResultBlockParam = {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}
    turns += [message.to_param(), {"role": "user", "content": [result]}]
    with client.messages.stream(messages=turns, **asked) as stream:
        assert "".join(stream.text_stream) == "Got sun"


def test_anthropics_client_gets_thoughts_and_whole_answers_from_another_model() -> None:
    client = messages_client(OpenAI(), openais)
    message = client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    thought, text = message.content
    assert isinstance(thought, ThinkingBlock)
    assert isinstance(text, TextBlock)
    assert (thought.thinking, text.text) == ("Hm.", "Got hi")
    again = client.messages.create(
        model="m", max_tokens=9, messages=[message.to_param(), {"role": "user", "content": "ho"}]
    )
    assert again.content[-1] == TextBlock(type="text", text="Got ho")


class Verdict(BaseModel):
    label: str


def test_anthropics_client_parses_structured_output_from_another_model() -> None:
    client = messages_client(OpenAI(), openais)
    message = client.messages.parse(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}], output_format=Verdict
    )
    assert message.parsed_output == Verdict(label="billing")


def test_what_only_anthropic_has_raises_at_its_client_with_a_sentence() -> None:
    client = messages_client(OpenAI(), openais)
    with pytest.raises(anthropic.BadRequestError, match="'web_search'"):
        client.messages.create(
            model="m",
            max_tokens=9,
            messages=[{"role": "user", "content": "x"}],
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        )


CLAUDES = [pytest.param(Anthropic(), anthropics, id="anthropic"), pytest.param(Bedrock(), bedrocks, id="bedrock")]
FUNCTION: Any = {"type": "function", "function": {"name": "weather", "parameters": TOOL["input_schema"]}}


@pytest.mark.parametrize(("provider", "model"), CLAUDES)
def test_openais_client_streams_from_a_claude(provider: Provider, model: Model) -> None:
    client = chat_client(provider, model)
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Got hi"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize(("provider", "model"), CLAUDES)
def test_openais_client_uses_tools_and_images_with_a_claude(provider: Provider, model: Model) -> None:
    client = chat_client(provider, model)
    image: Any = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    turns: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "Weather?"}, image]}]
    with client.chat.completions.stream(model="m", messages=turns, tools=[FUNCTION]) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    [call] = message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Ulm"}
    turns += [message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "sun"}]
    with client.chat.completions.stream(model="m", messages=turns, tools=[FUNCTION]) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Got sun"
    plain: Any = [{"role": "user", "content": [image]}]
    with client.chat.completions.stream(model="m", messages=plain) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Got image"


def test_openais_client_parses_structured_output_from_anthropic() -> None:
    client = chat_client(Anthropic(), anthropics)
    with client.chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "x"}], response_format=Verdict
    ) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Verdict(label="billing")
