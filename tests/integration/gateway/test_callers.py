"""The official clients of Anthropic, Google and OpenAI's Responses, through a real worker: to a server that speaks
OpenAI's chat, and to one that speaks as they do.
"""

import asyncio
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import msgspec
import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types as google
from pydantic import BaseModel

from rondel.gateway.models import GuardRule, PromptMessage
from rondel.spend.models import ModelPrice
from tests.integration.gateway.conftest import started_once
from tests.integration.gateway.gateway import KEY, Gateway, connection, release, route, target
from tests.integration.gateway.upstream import (
    Behaviour,
    Line,
    Seen,
    Upstream,
    chunk,
    completion,
    fail,
    say,
    usage_chunk,
)
from tests.unit.gateway.generate import wire
from tests.unit.gateway.messages import recorded

PRICE = ModelPrice(input_nano=3_000_000_000, output_nano=15_000_000_000, cache_read_nano=300_000_000)
ASKED: list[Any] = [{"role": "user", "content": "hello there"}]
TOOL: dict[str, Any] = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}


class City(BaseModel):
    """A structured answer."""

    name: str
    people: int


async def calling(seen: Seen, line: Line) -> None:
    """Ask for the weather in Oslo; say it when told."""
    if any(message["role"] == "tool" for message in seen.json["messages"]):
        await say("It is sunny")(seen, line)
        return
    if not seen.json.get("stream"):
        message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        await line.json({**completion(""), "choices": [choice]})
        return
    await line.begin()
    function = {"name": "weather", "arguments": ""}
    await line.event(chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}))
    for part in ('{"city":', '"Oslo"}'):
        await line.event(chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}))
    await line.event(chunk({}, "tool_calls"))
    await line.event(usage_chunk())
    await line.finish()


async def breaking(seen: Seen, line: Line) -> None:  # noqa: ARG001  a behaviour's signature
    """Break off in the midst of a word."""
    await line.begin()
    await line.event(chunk({"content": "It is su"}))
    line.writer.close()


def recording(stream: bytes, whole: Any) -> Behaviour:
    """Answer as a server of another dialect does, its stream cut in the midst of its words."""

    async def answer(seen: Seen, line: Line) -> None:
        if not seen.path.endswith("alt=sse") and not seen.json.get("stream"):
            await line.json(whole)
            return
        await line.begin()
        for begin in range(0, len(stream), 41):
            await line.piece(stream[begin : begin + 41])
        await line.finish(done=False)

    return answer


@pytest.fixture(scope="module")
def shared_upstream() -> Generator[Upstream]:
    server = Upstream()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> Generator[Gateway]:
    """A running worker that no test changes; each asks `up/NAME`, a model with a behaviour of its own."""
    yield from started_once(Path(tmp_path_factory.mktemp("callers")), shared_upstream)


def claude(gateway: Gateway, api_key: str = KEY, **more: Any) -> anthropic.Anthropic:
    """Anthropic's client."""
    base_url = f"http://127.0.0.1:{gateway.port}"
    return anthropic.Anthropic(base_url=base_url, api_key=api_key, max_retries=0, timeout=20, **more)


def gemini(gateway: Gateway, api_key: str = KEY) -> Any:
    """Google's client, whose methods are typed in part; keep it in a variable, for it closes when it is collected."""
    options = google.HttpOptions(base_url=f"http://127.0.0.1:{gateway.port}", retry_options=None, timeout=20_000)
    return genai.Client(api_key=api_key, vertexai=False, http_options=options)


class TestAnthropicsClient:
    """It speaks Messages; the model, OpenAI's chat."""

    def test_chat(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("a-chat", say("Hello you"))
        told = claude(shared).messages.create(model="up/a-chat", max_tokens=50, system="Be brief.", messages=ASKED)
        assert [block.text for block in told.content if block.type == "text"] == ["Hello you"]
        assert (told.stop_reason, told.model) == ("end_turn", "up-1")
        assert (told.usage.input_tokens, told.usage.output_tokens) == (15, 7)
        sent = next(seen.json for seen in shared_upstream.seen if seen.json["model"] == "a-chat")
        assert sent["messages"] == [{"role": "system", "content": "Be brief."}, *ASKED]
        assert sent["max_tokens"] == 50

    def test_stream(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("a-stream", say("Hello you there"))
        with claude(shared).messages.stream(model="up/a-stream", max_tokens=50, messages=ASKED) as stream:
            assert list(stream.text_stream) == ["Hello", " you", " there"]
            told = stream.get_final_message()
        assert (told.stop_reason, told.usage.output_tokens) == ("end_turn", 7)

    def test_tools(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("a-tools", calling)
        client = claude(shared)
        tools: Any = [TOOL]
        for is_stream in (False, True):
            if is_stream:
                with client.messages.stream(model="up/a-tools", max_tokens=9, tools=tools, messages=ASKED) as stream:
                    told = stream.get_final_message()
            else:
                told = client.messages.create(model="up/a-tools", max_tokens=9, tools=tools, messages=ASKED)
            (call,) = [block for block in told.content if block.type == "tool_use"]
            assert (told.stop_reason, call.name, call.input) == ("tool_use", "weather", {"city": "Oslo"})
            result = {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}
            back: Any = [*ASKED, {"role": "assistant", "content": told.content}, {"role": "user", "content": [result]}]
            after = client.messages.create(model="up/a-tools", max_tokens=9, tools=tools, messages=back)
            assert [block.text for block in after.content if block.type == "text"] == ["It is sunny"]

    def test_structured_output(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("a-json", say('{"name":"Oslo","people":7}'))
        told = claude(shared).messages.parse(model="up/a-json", max_tokens=50, messages=ASKED, output_format=City)
        assert told.parsed_output == City(name="Oslo", people=7)
        sent = next(seen.json for seen in shared_upstream.seen if seen.json["model"] == "a-json")
        assert sent["response_format"]["json_schema"]["schema"]["required"] == ["name", "people"]

    def test_errors(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("a-busy", fail(429, headers={"retry-after": "30"}))
        shared_upstream.on("a-broken", breaking)
        client = claude(shared)
        with pytest.raises(anthropic.AuthenticationError, match="needs a key that is known"):
            claude(shared, "wrong").messages.create(model="up/a-chat", max_tokens=5, messages=ASKED)
        with pytest.raises(anthropic.NotFoundError) as missing:
            client.messages.create(model="suport", max_tokens=5, messages=ASKED)
        assert missing.value.body == {
            "type": "error",
            "error": {"type": "not_found_error", "message": _message(missing.value.body)},
        }
        assert "Did you mean 'support'?" in _message(missing.value.body)
        with pytest.raises(anthropic.RateLimitError) as busy:
            client.messages.create(model="up/a-busy", max_tokens=5, messages=ASKED)
        assert busy.value.response.headers["retry-after"] == "30"
        with (
            pytest.raises(anthropic.APIStatusError, match="middle of its answer"),
            client.messages.stream(model="up/a-broken", max_tokens=5, messages=ASKED) as stream,
        ):
            stream.get_final_message()

    def test_tokens_are_estimated_where_the_model_does_not_count_them(self, shared: Gateway) -> None:
        counted = claude(shared).messages.count_tokens(
            model="up/a-chat", messages=[{"role": "user", "content": "x" * 400}]
        )
        assert 100 <= counted.input_tokens <= 150

    def test_models(self, shared: Gateway) -> None:
        listed = list(claude(shared).models.list())
        assert [(model.id, model.type, model.display_name) for model in listed] == [("support", "model", "support")]
        assert claude(shared).models.retrieve("support").id == "support"


class TestGooglesClient:
    """It speaks generateContent; the model, OpenAI's chat."""

    def test_chat(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("g-chat", say("Hello you"))
        client = gemini(shared)
        told = client.models.generate_content(model="models/up/g-chat", contents="hello there")
        assert (told.text, told.model_version) == ("Hello you", "up-1")
        assert told.usage_metadata is not None
        assert (told.usage_metadata.prompt_token_count, told.usage_metadata.candidates_token_count) == (20, 5)

    def test_stream(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("support", say("never asked"))
        shared_upstream.on("up-1", say("Hello you there"))
        client = gemini(shared)
        pieces = list(client.models.generate_content_stream(model="support", contents="hello there"))
        assert "".join(piece.text or "" for piece in pieces) == "Hello you there"
        last = pieces[-1]
        assert last.candidates is not None
        assert last.candidates[0].finish_reason == google.FinishReason.STOP

    def test_tools(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("g-tools", calling)
        function = google.FunctionDeclaration(name="weather", parameters_json_schema=TOOL["input_schema"])
        config = google.GenerateContentConfig(
            tools=[google.Tool(function_declarations=[function])],
            automatic_function_calling=google.AutomaticFunctionCallingConfig(disable=True),
        )
        client = gemini(shared)
        contents: list[Any] = [google.Content(role="user", parts=[google.Part(text="hello")])]
        told = client.models.generate_content(model="models/up/g-tools", contents=contents, config=config)
        (call,) = told.function_calls
        assert (call.name, call.args) == ("weather", {"city": "Oslo"})
        assert told.candidates is not None
        assert told.candidates[0].content is not None
        result = google.Part.from_function_response(name="weather", response={"result": "sun"})
        contents += [told.candidates[0].content, google.Content(role="user", parts=[result])]
        after = client.models.generate_content(model="models/up/g-tools", contents=contents, config=config)
        assert after.text == "It is sunny"

    def test_structured_output(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("g-json", say('{"name":"Oslo","people":7}'))
        config = google.GenerateContentConfig(response_mime_type="application/json", response_schema=City)
        client = gemini(shared)
        told = client.models.generate_content(model="models/up/g-json", contents="x", config=config)
        assert told.parsed == City(name="Oslo", people=7)

    def test_models(self, shared: Gateway) -> None:
        client = gemini(shared)
        assert [(model.name, model.display_name) for model in client.models.list()] == [("models/support", "support")]
        assert client.models.get(model="support").name == "models/support"
        with pytest.raises(google_errors.ClientError) as missing:
            client.models.get(model="nobody")
        assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")

    def test_what_is_not_served_says_so(self, shared: Gateway) -> None:
        client = gemini(shared)
        with pytest.raises(google_errors.APIError, match="'batchEmbedContents' is not"):
            client.models.embed_content(model="support", contents="x")
        with pytest.raises(google_errors.APIError, match="'countTokens' is not"):
            client.models.count_tokens(model="support", contents="x")

    def test_errors(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("g-busy", fail(429))
        shared_upstream.on("g-broken", breaking)
        client, stranger = gemini(shared), gemini(shared, "wrong")
        with pytest.raises(google_errors.ClientError, match="needs a key that is known") as unknown:
            stranger.models.generate_content(model="support", contents="x")
        assert (unknown.value.code, unknown.value.status) == (401, "UNAUTHENTICATED")
        with pytest.raises(google_errors.ClientError, match="no 429") as busy:
            client.models.generate_content(model="models/up/g-busy", contents="x")
        assert busy.value.status == "RESOURCE_EXHAUSTED"
        with pytest.raises(google_errors.APIError, match="middle of its answer"):
            list(client.models.generate_content_stream(model="models/up/g-broken", contents="x"))


class TestResponses:
    """OpenAI's client speaks Responses; the model, chat."""

    def test_chat_and_stream(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("r-chat", say("Hello you"))
        client = shared.client()
        told = client.responses.create(model="up/r-chat", instructions="Be brief.", input="hello there")
        assert (told.output_text, told.status) == ("Hello you", "completed")
        assert told.usage is not None
        assert (told.usage.input_tokens, told.usage.output_tokens) == (20, 7)
        with client.responses.stream(model="up/r-chat", input="hello there") as stream:
            deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
            assert stream.get_final_response().output_text == "".join(deltas) == "Hello you"

    def test_tools_and_structured_output(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("r-tools", calling)
        shared_upstream.on("r-json", say('{"name":"Oslo","people":7}'))
        client = shared.client()
        tool: Any = {"type": "function", "name": "weather", "parameters": TOOL["input_schema"], "strict": False}
        told = client.responses.create(model="up/r-tools", input="hello", tools=[tool])
        (call,) = [item for item in told.output if item.type == "function_call"]
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Oslo"})
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
        back: Any = [{"role": "user", "content": "hello"}, call.model_dump(exclude_none=True), output]
        assert client.responses.create(model="up/r-tools", input=back, tools=[tool]).output_text == "It is sunny"
        assert client.responses.parse(model="up/r-json", input="x", text_format=City).output_parsed == City(
            name="Oslo", people=7
        )

    def test_errors(self, shared: Gateway, shared_upstream: Upstream) -> None:
        shared_upstream.on("r-broken", breaking)
        client = shared.client()
        with pytest.raises(openai.NotFoundError, match="Did you mean 'support'"):
            client.responses.create(model="suport", input="x")
        with pytest.raises(openai.BadRequestError, match="previous_response_id"):
            client.responses.create(model="up/r-chat", input="x", previous_response_id="resp_1")
        with client.responses.stream(model="up/r-broken", input="x") as stream:
            events = list(stream)
        assert events[-1].type == "response.failed"
        assert events[-1].response.error is not None
        assert "middle of its answer" in events[-1].response.error.message


def _message(body: object) -> str:
    return str(msgspec.convert(body, dict[str, Any])["error"]["message"])


def _speaking(gateway: Gateway, upstream: Upstream, provider: str, behaviour: Behaviour, **more: Any) -> None:
    """The route `support` leads to a server of this kind."""
    upstream.on("up-1", behaviour)
    upstream.on("", behaviour)
    there = connection(upstream.port, provider=provider, secret="env:RONDEL_SECRET_UP")
    gateway.write(connections=(there,), releases=(release("live", target(price=PRICE), **more),))
    gateway.environ["RONDEL_SECRET_UP"] = "their-key"
    gateway.start()


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [{"type": "text", "text": "Hello!", "x_new": 1}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 25, "output_tokens": 15, "cache_read_input_tokens": 10},
}


def test_a_messages_callers_bytes_pass_to_a_server_that_speaks_messages(gateway: Gateway, upstream: Upstream) -> None:
    _speaking(gateway, upstream, "anthropic", recording(recorded.CHAT, MESSAGE))
    body = b'{"model":"up-1" , "max_tokens":5,"x_new":[1.50],"messages":[{"role":"user","content":"hi"}]}'
    headers = {"x-api-key": KEY, "anthropic-version": "2026-01-01", "anthropic-beta": "a-1,b-2", "cookie": "x=y"}
    gateway.write(routes=(route("up-1", "live"), route("support", "live")))
    gateway.stop()
    gateway.start()
    answer = httpx.post(f"{gateway.url}/messages", content=body, headers=headers)
    (seen,) = upstream.seen
    assert (seen.path, seen.body) == ("/v1/messages", body)
    told = {name: seen.headers.get(name) for name in ("x-api-key", "anthropic-version", "anthropic-beta", "cookie")}
    assert told == {
        "x-api-key": "their-key",
        "anthropic-version": "2026-01-01",
        "anthropic-beta": "a-1,b-2",
        "cookie": None,
    }
    assert KEY not in str(seen.headers)
    assert answer.json() == MESSAGE
    record = gateway.record()
    assert (record.operation, record.finish_reason, record.provider) == ("messages", "stop", "anthropic")
    assert record.tokens is not None
    assert (record.tokens.input_uncached, record.tokens.cache_read, record.tokens.output_text) == (25, 10, 15)
    assert record.cost_nano == 25 * 3000 + 10 * 300 + 15 * 15_000
    assert json.loads(record.request_body)["messages"] == [{"role": "user", "content": "hi"}]
    assert json.loads(record.answer_body)["choices"][0]["message"]["content"] == "Hello!"


def test_a_messages_stream_passes_as_it_came(gateway: Gateway, upstream: Upstream) -> None:
    _speaking(gateway, upstream, "anthropic", recording(recorded.THOUGHTS_AND_TOOLS, MESSAGE))
    body = {"model": "support", "max_tokens": 5, "stream": True, "messages": ASKED}
    answer = httpx.post(f"{gateway.url}/messages", json=body, headers={"x-api-key": KEY})
    assert answer.content == recorded.THOUGHTS_AND_TOOLS
    assert upstream.seen[0].json == {**body, "model": "up-1"}
    record = gateway.record()
    assert (record.truncated, record.status, record.is_stream) == (False, 200, True)
    assert record.tokens is not None
    assert record.tokens.cache_read == 40


def test_a_messages_stream_that_breaks_off_ends_with_an_error_of_its_dialect(
    gateway: Gateway, upstream: Upstream
) -> None:
    _speaking(gateway, upstream, "anthropic", recording(recorded.CHAT[:-60], MESSAGE))
    with (
        pytest.raises(anthropic.APIStatusError, match=r"before it was whole|middle of its answer"),
        claude(gateway).messages.stream(model="support", max_tokens=5, messages=ASKED) as stream,
    ):
        stream.get_final_message()
    record = gateway.record()
    assert (record.truncated, record.error_type) == (True, "stream_broken")


def test_a_server_that_counts_tokens_is_asked_to(gateway: Gateway, upstream: Upstream) -> None:
    _speaking(gateway, upstream, "anthropic", recording(b"", {"input_tokens": 7}))
    assert claude(gateway).messages.count_tokens(model="support", messages=ASKED).input_tokens == 7
    assert upstream.seen[0].path == "/v1/messages/count_tokens"
    record = gateway.record()
    assert (record.operation, record.cost_nano) == ("messages/count_tokens", 0)


def test_an_error_of_its_own_dialect_passes_untouched(gateway: Gateway, upstream: Upstream) -> None:
    told = b'{"type":"error","error":{"type":"invalid_request_error","message":"no such field","x":1},"request_id":"r"}'
    _speaking(gateway, upstream, "anthropic", fail(400, body=told))
    answer = httpx.post(
        f"{gateway.url}/messages", json={"model": "support", "messages": ASKED}, headers={"x-api-key": KEY}
    )
    assert (answer.status_code, answer.content) == (400, told)
    answer = httpx.post(
        f"{gateway.url}/chat/completions",
        json={"model": "support", "messages": ASKED},
        headers={"authorization": f"Bearer {KEY}"},
    )
    assert answer.json()["error"]["message"] == "no such field"
    client = gemini(gateway)
    with pytest.raises(google_errors.ClientError, match="no such field"):
        client.models.generate_content(model="support", contents="x")


@pytest.mark.parametrize("is_array", [False, True])
def test_a_gemini_stream_passes_as_it_came(gateway: Gateway, upstream: Upstream, is_array: bool) -> None:
    stream = wire.as_array(wire.TEXT) if is_array else wire.as_events(wire.TEXT)

    async def answer(seen: Seen, line: Line) -> None:  # noqa: ARG001  a behaviour's signature
        kind = b"application/json" if is_array else b"text/event-stream"
        await line.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % kind)
        for begin in range(0, len(stream), 41):
            await line.piece(stream[begin : begin + 41])
        await line.finish(done=False)

    _speaking(gateway, upstream, "gemini", answer)
    body = b'{"contents":[{"parts":[{"text":"hi"}],"role":"user"}], "x_new":1.50}'
    path = f"/v1beta/models/support:streamGenerateContent?key={KEY}" + ("" if is_array else "&alt=sse")
    told = httpx.post(f"http://127.0.0.1:{gateway.port}{path}", content=body)
    assert told.content == stream
    assert told.headers["content-type"].startswith("application/json" if is_array else "text/event-stream")
    (seen,) = upstream.seen
    assert seen.body == body
    assert seen.path == "/v1/models/up-1:streamGenerateContent" + ("" if is_array else "?alt=sse")
    record = gateway.record()
    assert record.tokens is not None
    assert (record.tokens.cache_read, record.tokens.reasoning, record.truncated) == (40, 30, False)


@pytest.mark.parametrize("name", ["x-api-key", "x-goog-api-key", "api-key"])
def test_a_key_is_taken_where_clients_put_it(shared: Gateway, shared_upstream: Upstream, name: str) -> None:
    shared_upstream.on("up-1", say("yes"))
    body = {"model": "support", "max_tokens": 5, "messages": ASKED}
    for path in ("messages", "chat/completions"):
        assert httpx.post(f"{shared.url}/{path}", json=body, headers={name: KEY}).status_code == 200
        assert httpx.post(f"{shared.url}/{path}", json=body, headers={name: "no"}).status_code == 401


def test_a_coding_agents_session_and_user_are_recorded(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say("yes"))
    gateway.start()
    agent = json.dumps({"device_id": "d1", "account_uuid": "ada", "session_id": "s-1"})
    claude(gateway).messages.create(model="support", max_tokens=5, messages=ASKED, metadata={"user_id": agent})
    record = gateway.record()
    assert (record.session, record.user) == ("s-1", "ada")
    gateway.client().responses.create(model="support", input="x", extra_headers={"session_id": "s-2"})
    assert gateway.record(2).session == "s-2"


def test_what_a_release_says_holds_for_callers_of_every_dialect(gateway: Gateway, upstream: Upstream) -> None:
    prompt = (PromptMessage("system", "Answer as a pirate."),)
    _speaking(gateway, upstream, "anthropic", recording(recorded.CHAT, MESSAGE), messages=prompt)
    with claude(gateway).messages.stream(model="support", max_tokens=5, messages=ASKED) as stream:
        assert stream.get_final_text() == "Hello!"
    sent = upstream.seen[0].json
    assert "Answer as a pirate." in str(sent["system"])


def test_guardrails_hold_for_callers_of_every_dialect(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say("Write to ada@example.com for more"))
    guarded = (GuardRule(check="pii", on_input=True, on_output=True),)
    gateway.write(routes=(route("support", "live", guardrails=guarded),))
    gateway.start()
    ask: list[Any] = [{"role": "user", "content": "I am bob@example.com"}]
    with claude(gateway).messages.stream(model="support", max_tokens=5, messages=ask) as stream:
        text = stream.get_final_text()
    assert "@example.com" not in text
    assert text.endswith(" for more")
    assert "@example.com" not in str(upstream.seen[0].json)
    client = gemini(gateway)
    pieces = list(client.models.generate_content_stream(model="support", contents="x"))
    assert "@example.com" not in "".join(piece.text or "" for piece in pieces)


def test_nothing_goes_on_after_an_anthropic_caller_hangs_up(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say(" ".join(["word"] * 400), interval_s=0.01))
    gateway.start()
    with claude(gateway).messages.stream(model="support", max_tokens=5, messages=ASKED) as stream:
        next(iter(stream.text_stream))
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)
    assert gateway.record().status == 499


def test_bedrock_is_asked_with_a_signature(gateway: Gateway, upstream: Upstream) -> None:
    whole = {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello!"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    }

    async def answer(seen: Seen, line: Line) -> None:  # noqa: ARG001  a behaviour's signature
        await asyncio.sleep(0)
        await line.json(whole)

    upstream.on("", answer)
    options = {"region": msgspec.Raw(b'"eu-west-1"')}
    there = connection(upstream.port, provider="bedrock", secret="env:RONDEL_SECRET_UP", options=options)
    gateway.write(connections=(there,))
    gateway.environ["RONDEL_SECRET_UP"] = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    gateway.start()
    told = claude(gateway).messages.create(model="support", max_tokens=5, messages=ASKED)
    assert [block.text for block in told.content if block.type == "text"] == ["Hello!"]
    (seen,) = upstream.seen
    assert seen.path == "/v1/model/up-1/converse"
    assert seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "wJalrXUtnFEMI" not in str(seen.headers)


@pytest.mark.parametrize("path", ["embeddings", "completions"])
def test_what_a_provider_does_not_serve_is_refused(gateway: Gateway, upstream: Upstream, path: str) -> None:
    _speaking(gateway, upstream, "anthropic", recording(b"", MESSAGE))
    answer = httpx.post(
        f"{gateway.url}/{path}", json={"model": "support", "input": "x"}, headers={"authorization": f"Bearer {KEY}"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"Connection 'up' serves no {path}")
    assert upstream.seen == []


def test_models_are_only_read(shared: Gateway) -> None:
    told = httpx.post(f"{shared.url}/models", headers={"authorization": f"Bearer {KEY}"}, json={})
    assert (told.status_code, told.headers["allow"]) == (405, "GET")
