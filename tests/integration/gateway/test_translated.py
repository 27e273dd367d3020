"""OpenAI's client, through a real worker, to servers that speak Gemini's and Cohere's dialects."""

import json
from typing import Any

import msgspec
import openai
import pytest

from rondel.gateway.models import Connection
from rondel.gateway.rules import raw
from tests.integration.gateway.asking import ASK
from tests.integration.gateway.gateway import Gateway, connection
from tests.integration.gateway.upstream import Behaviour, Line, Seen, Upstream
from tests.unit.gateway import cohere_wire as cohere
from tests.unit.gateway.generate import wire


def _answers(stream: bytes, whole: Any, status: int = 200) -> Behaviour:
    """Answer with a stream, cut in the midst of its words, or with a whole answer."""

    async def answer(seen: Seen, line: Line) -> None:
        if not seen.path.endswith("alt=sse") and not seen.json.get("stream"):
            await line.json(whole, status)
            return
        await line.begin()
        for begin in range(0, len(stream), 37):
            await line.piece(stream[begin : begin + 37])
        await line.finish(done=False)

    return answer


def _connected(gateway: Gateway, upstream: Upstream, provider: str, behaviour: Behaviour) -> openai.OpenAI:
    upstream.on("", behaviour)
    upstream.on("up-1", behaviour)
    there: Connection = connection(upstream.port, provider=provider)
    gateway.write(connections=(msgspec.structs.replace(there, secret="env:RONDEL_SECRET_UP"),))
    gateway.environ["RONDEL_SECRET_UP"] = "their-key"
    gateway.start()
    return gateway.client()


@pytest.mark.parametrize("wants_usage", [True, False])
def test_gemini_streams_to_openais_client(gateway: Gateway, upstream: Upstream, wants_usage: bool) -> None:
    client = _connected(gateway, upstream, "gemini", _answers(wire.as_events(wire.TEXT), None))
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}} if wants_usage else {}
    pieces = list(client.chat.completions.create(model="support", messages=ASK, stream=True, **asked))
    assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == 'Hello "you" {there}\n'
    assert [p.usage is not None for p in pieces if not p.choices] == ([True] if wants_usage else [])
    (seen,) = upstream.seen
    assert seen.path == "/v1/models/up-1:streamGenerateContent?alt=sse"
    assert seen.headers["x-goog-api-key"] == "their-key"
    assert seen.json == {"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}
    record = gateway.record()
    assert (record.finish_reason, record.model_served, record.truncated) == ("stop", "gemini-3-flash", False)
    assert record.tokens is not None
    assert (record.tokens.cache_read, record.tokens.reasoning) == (40, 30)


def test_gemini_answers_openais_client_with_calls(gateway: Gateway, upstream: Upstream) -> None:
    candidate: dict[str, Any] = {**wire.CALLS[2]["candidates"][0], "finishReason": "STOP"}
    whole = {**wire.CALLS[2], "candidates": [candidate], "usageMetadata": wire.USAGE}
    client = _connected(gateway, upstream, "gemini", _answers(b"", whole))
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    answer = client.chat.completions.create(model="support", messages=ASK, tools=[tool], tool_choice="required")
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    back: list[Any] = [*ASK, message.model_dump(exclude_none=True)]
    back += [{"role": "tool", "tool_call_id": call.id, "content": "sun"} for call in message.tool_calls or ()]
    client.chat.completions.create(model="support", messages=back, tools=[tool])
    assert upstream.seen[0].json["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    _, model, results = upstream.seen[1].json["contents"]
    assert model["parts"] == candidate["content"]["parts"]
    assert [part["functionResponse"]["name"] for part in results["parts"]] == ["weather", "weather"]


def test_a_stream_of_gemini_that_breaks_off_is_recorded_as_such(gateway: Gateway, upstream: Upstream) -> None:
    client = _connected(gateway, upstream, "gemini", _answers(wire.as_events(wire.TEXT[:2]), None))
    with pytest.raises(openai.APIError, match="before it was whole"):
        list(client.chat.completions.create(model="support", messages=ASK, stream=True))
    assert gateway.record().truncated


def test_what_gemini_cannot_be_asked_is_told_to_the_caller(gateway: Gateway, upstream: Upstream) -> None:
    client = _connected(gateway, upstream, "gemini", _answers(b"", None))
    with pytest.raises(openai.BadRequestError, match="'logit_bias' has no counterpart"):
        client.chat.completions.create(model="support", messages=ASK, logit_bias={"1": 5})
    assert upstream.seen == []


def test_embeddings_of_gemini_come_to_openais_client(gateway: Gateway, upstream: Upstream) -> None:
    whole = {"embeddings": [{"values": [0.5, -0.25]}], "usageMetadata": {"promptTokenCount": 6}}
    client = _connected(gateway, upstream, "gemini", _answers(b"", whole))
    answer = client.embeddings.create(model="support", input="hi")
    assert answer.data[0].embedding == [0.5, -0.25]
    assert answer.usage.prompt_tokens == 6
    assert upstream.seen[0].path == "/v1/models/up-1:batchEmbedContents"


def test_cohere_streams_to_openais_client(gateway: Gateway, upstream: Upstream) -> None:
    client = _connected(gateway, upstream, "cohere", _answers(cohere.as_events(cohere.TEXT), None))
    pieces = list(client.chat.completions.create(model="support", messages=ASK, stream=True))
    assert "".join(p.choices[0].delta.content or "" for p in pieces) == "Sun today"
    assert upstream.seen[0].headers["authorization"] == "Bearer their-key"
    record = gateway.record()
    assert record.finish_reason == "stop"
    assert json.loads(record.answer_body)["choices"][0]["message"]["citations"] == [cohere.CITATION]


def test_cohere_answers_openais_client(gateway: Gateway, upstream: Upstream) -> None:
    client = _connected(gateway, upstream, "cohere", _answers(b"", cohere.WHOLE))
    answer = client.chat.completions.create(model="support", messages=ASK)
    assert answer.choices[0].message.content == "Sun today"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 19
    assert upstream.seen[0].path == "/v1/chat"
    assert raw(upstream.seen[0].json) == raw({"model": "up-1", "messages": ASK, "stream": False})
