"""Cohere's chat and embeddings as OpenAI's: our requests are its client's, and its client reads what we take for its
wire."""

import json
from array import array
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import cohere
import httpx
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.gateway.costing import tokens_of as openai_tokens_of
from rondel.gateway.dialects.cohere.words import is_list
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Chunk, Decoder
from rondel.gateway.providers.cohere import Cohere
from rondel.gateway.rules import raw
from rondel.telemetry.records import TokenCounts
from tests.unit.gateway.cohere_wire import CALL, CITATION, EMBEDDED, START, TEXT, TOOLS, USAGE, WHOLE, as_events, ended

pytestmark = pytest.mark.filterwarnings("ignore:The `__fields__` attribute")  # Cohere's client uses it


def _client(answer: Callable[[httpx.Request], httpx.Response]) -> Any:
    """Cohere's own client; its methods take unions that are not wholly typed."""
    transport = httpx.MockTransport(answer)
    return cohere.ClientV2(api_key="k", base_url="http://cohere", httpx_client=httpx.Client(transport=transport))


def _sent(ask: Callable[[Any], object], answer: Any = WHOLE) -> tuple[str, str, Any]:
    """Path, authorization and body of the request that Cohere's client makes."""
    requests: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=answer)

    ask(_client(serve))
    (request,) = requests
    return request.url.path, request.headers["authorization"], json.loads(request.content)


def _call(chat: dict[str, Any], *, is_stream: bool = False, operation: Operation = Operation.CHAT) -> Call:
    fields = {name: raw(value) for name, value in chat.items()}
    return Call(operation, "command-a", fields, is_stream)


def _asked(chat: dict[str, Any], *, is_stream: bool = False) -> dict[str, Any]:
    return json.loads(Cohere().encode(_call(chat, is_stream=is_stream)))


def _chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "route", "messages": list(messages) or [{"role": "user", "content": "hi"}], **fields}


def _stream(body: bytes, cuts: list[int] | None = None) -> tuple[list[Chunk], Decoder]:
    decoder = Cohere().decoder(_call(_chat(), is_stream=True))
    ends = sorted(cuts or [])
    chunks: list[Chunk] = []
    for begin, end in zip([0, *ends], [*ends, len(body)], strict=True):
        chunks += decoder.feed(body[begin:end])
    return chunks + decoder.end(), decoder


def _whole(body: bytes) -> tuple[list[Chunk], Decoder]:
    decoder = Cohere().decoder(_call(_chat()))
    assert decoder.feed(body) == []
    return decoder.end(), decoder


def _deltas(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def _joined(chunks: list[Chunk], name: str) -> str:
    return "".join(delta.get(name) or "" for delta in _deltas(chunks))


def _finishes(chunks: list[Chunk]) -> list[Any]:
    return [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]


# Requests

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAEC", "detail": "low"}}


def test_a_chat_is_asked_as_coheres_client_asks_it() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    path, authorization, theirs = _sent(
        lambda client: client.chat(
            model="command-a",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]},
            ],
            documents=["Sun.", {"id": "d", "data": {"text": "Rain."}}],
            citation_options={"mode": "FAST"},
            safety_mode="STRICT",
            response_format={"type": "json_object", "json_schema": schema},
            max_tokens=9, stop_sequences=["END"], temperature=0.5, seed=7,
            frequency_penalty=0.1, presence_penalty=0.2, k=5, p=0.9, logprobs=True, thinking={"type": "disabled"},
        )
    )  # fmt: skip
    ours = _asked(
        _chat(
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]},
            documents=["Sun.", {"id": "d", "data": {"text": "Rain."}}],
            citation_options={"mode": "FAST"},
            safety_mode="STRICT",
            response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}},
            max_completion_tokens=9, max_tokens=99, stop="END", temperature=0.5, seed=7, user="u", n=1,
            frequency_penalty=0.1, presence_penalty=0.2, top_k=5, top_p=0.9, logprobs=True, reasoning_effort="none",
        )
    )  # fmt: skip
    assert ours == theirs
    provider = Cohere(base_url="http://cohere/v2")
    assert provider.base_url.removeprefix("http://cohere") + provider.path(_call(_chat())) == path
    assert dict(provider.headers("k"))["authorization"] == authorization


def test_tools_are_asked_for_and_answered_as_coheres_client_does() -> None:
    said = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Well"}]
    _, _, theirs = _sent(
        lambda client: client.chat(
            model="command-a",
            tools=[TOOL],
            strict_tools=True,
            tool_choice="REQUIRED",
            messages=[
                {"role": "user", "content": "How is it?"},
                {"role": "assistant", "tool_calls": [CALL], "tool_plan": "I will look.", "content": said},
                {"role": "tool", "tool_call_id": "weather_1", "content": [{"type": "text", "text": "sun"}]},
                {"role": "assistant", "content": "Sun", "citations": [CITATION]},
            ],
        )
    )
    strict = {**TOOL, "function": {**TOOL["function"], "strict": True}}
    details = [
        {"type": "reasoning.text", "text": "I will ", "format": "cohere-tool-plan-v2"},
        {"type": "reasoning.text", "text": "look.", "format": "cohere-tool-plan-v2"},
        {"type": "reasoning.text", "text": "Hm.", "format": "cohere-thinking-v2"},
        {"type": "reasoning.text", "text": "Not its own.", "format": "anthropic-claude-v1"},
    ]
    ours = _asked(
        _chat(
            {"role": "user", "content": "How is it?"},
            {"role": "assistant", "content": "Well", "tool_calls": [CALL], "reasoning_details": details},
            {"role": "tool", "tool_call_id": "weather_1", "content": [{"type": "text", "text": "sun"}]},
            {"role": "assistant", "content": "Sun", "citations": [CITATION]},
            tools=[strict],
            tool_choice="required",
        )
    )
    assert ours == theirs


def test_a_stream_is_asked_for_as_coheres_client_does() -> None:
    requests: list[Any] = []

    def serve(request: httpx.Request) -> httpx.Response:
        requests.append(json.loads(request.content))
        return httpx.Response(200, content=as_events(TEXT), headers={"content-type": "text/event-stream"})

    list(_client(serve).chat_stream(model="command-a", messages=[{"role": "user", "content": "hi"}]))
    assert requests == [_asked(_chat(stream=True, stream_options={"include_usage": True}), is_stream=True)]


@pytest.mark.parametrize(
    ("choice", "names", "told"),
    [
        ("auto", ["weather", "other"], None),
        ("none", ["weather", "other"], "NONE"),
        ({"type": "function", "function": {"name": "weather"}}, ["weather"], "REQUIRED"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "other"}}]}},
            ["other"],
            None,
        ),
    ],
)
def test_which_tools_may_be_called(choice: Any, names: list[str], told: str | None) -> None:
    other = {"type": "function", "function": {"name": "other"}}
    asked = _asked(_chat(tools=[TOOL, other], tool_choice=choice))
    assert [tool["function"]["name"] for tool in asked["tools"]] == names
    assert asked.get("tool_choice") == told


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": "m"}, "'messages' is missing"),
    (_chat(n=2), "'n'"),
    (_chat(logit_bias={"1": 2}), "'logit_bias' has no counterpart"),
    (_chat(top_logprobs=3), "'top_logprobs'"),
    (_chat({"role": "oracle", "content": "x"}), "'oracle' of messages\\[0\\]"),
    (_chat({"role": "user", "content": []}), "messages\\[0\\] says nothing"),
    (_chat({"role": "user", "content": [{"type": "input_audio"}]}), "content\\[0\\] cannot be said"),
    (_chat({"role": "tool", "content": "x"}), "tool_call_id"),
    (_chat({"role": "assistant", "tool_calls": [{"id": "x"}]}), "tool call without"),
    (_chat(response_format={"type": "grammar"}), "response_format"),
    (_chat(tools=[{"type": "custom"}]), "tools\\[0\\]"),
    (_chat(tools=[TOOL], tool_choice="maybe"), "'maybe'"),
    (_chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "x"}}), "names no function"),
]


@pytest.mark.parametrize(("chat", "words"), REFUSED)
def test_what_cohere_cannot_be_asked_is_refused_by_name(chat: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        _asked(chat)


# Answers


def _unknown(value: Any) -> dict[str, Any]:
    """Fields of an answer that Cohere's client does not know, at any depth."""
    if isinstance(value, pydantic.BaseModel):
        inner = [_unknown(getattr(value, name)) for name in type(value).model_fields]
        return {**(value.model_extra or {}), **{name: field for each in inner for name, field in each.items()}}
    return {name: field for each in (value if is_list(value) else []) for name, field in _unknown(each).items()}


def test_coheres_client_reads_what_we_take_for_its_wire() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        body = TOOLS if b"tools" in request.content else TEXT
        if not json.loads(request.content)["stream"]:
            return httpx.Response(200, json=WHOLE)
        return httpx.Response(200, content=as_events(body), headers={"content-type": "text/event-stream"})

    client = _client(serve)
    asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    events = [*client.chat_stream(**asked), *client.chat_stream(**asked, tools=[TOOL])]
    for event, told in zip(events, [*TEXT, *TOOLS], strict=True):
        assert type(event).__name__ == "".join(map(str.title, told["type"].split("-"))) + "V2ChatStreamResponse"
        assert event is not None
        if told is not START:  # it is sent with empty fields that the client does not declare
            assert _unknown(event) == {}
    answer = client.chat(**asked)
    assert answer.message.content[1].text == "Sun today"
    assert answer.usage.billed_units.input_tokens == 12
    assert _unknown(answer) == {}


def test_thoughts_text_and_citations_come_as_they_are_said() -> None:
    chunks, decoder = _stream(as_events(TEXT))
    assert (_joined(chunks, "reasoning_content"), _joined(chunks, "content")) == ("Hm.", "Sun today")
    assert [delta["citations"] for delta in _deltas(chunks) if "citations" in delta] == [[CITATION]]
    assert _deltas(chunks)[0] == {"role": "assistant"}
    assert {(chunk["id"], chunk["model"]) for chunk in chunks} == {("29f14a5a", "command-a")}
    assert _finishes(chunks) == ["stop"]
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["prompt_tokens"]) == ([], 12)
    assert json.loads(decoder.usage) == USAGE


def test_calls_come_in_pieces_after_their_plan() -> None:
    chunks, _ = _stream(as_events(TOOLS))
    assert _joined(chunks, "reasoning_content") == "I will look."
    calls = [call for delta in _deltas(chunks) for call in delta.get("tool_calls", [])]
    assert [call["index"] for call in calls] == [0, 0, 0, 1]
    assert [call.get("id") for call in calls] == ["weather_1", None, None, "weather_2"]
    assert "".join(call["function"].get("arguments", "") for call in calls[:3]) == '{"city":"Oslo"}'
    assert _finishes(chunks) == ["tool_calls"]


def test_a_whole_answer_is_one_completion() -> None:
    (answer,), _ = _whole(json.dumps(WHOLE).encode())
    choice = answer["choices"][0]
    assert choice["message"]["content"] == "Sun today"
    assert choice["message"]["reasoning_content"] == "Hm."
    assert choice["message"]["citations"] == [CITATION]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("stop", "COMPLETE")
    assert choice["logprobs"]["content"][0]["logprob"] == -0.75
    assert answer["usage"]["total_tokens"] == 19


def test_calls_of_a_whole_answer_are_kept() -> None:
    message = {"role": "assistant", "tool_plan": "I will look.", "tool_calls": [CALL]}
    (answer,), _ = _whole(json.dumps({"id": "1", "message": message, "finish_reason": "TOOL_CALL"}).encode())
    choice = answer["choices"][0]
    assert choice["message"]["tool_calls"] == [CALL]
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"
    assert "usage" not in answer


def test_what_was_thought_goes_back_as_it_came() -> None:
    (answer,), _ = _whole(json.dumps(WHOLE).encode())
    back = _asked(_chat(answer["choices"][0]["message"]))["messages"][0]
    assert back == {"role": "assistant", "content": WHOLE["message"]["content"], "citations": [CITATION]}


@given(st.sampled_from([TEXT, TOOLS]), st.data())
def test_a_stream_gives_the_same_chunks_however_it_is_cut(events: Any, data: st.DataObject) -> None:
    body = as_events(events)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=12))
    assert _stream(body, cuts)[0] == _stream(body)[0]


@given(st.sampled_from([TEXT, TOOLS]), st.data())
def test_a_stream_that_breaks_off_has_no_finish_reason_and_no_usage(events: Any, data: st.DataObject) -> None:
    body = as_events(events)[: data.draw(st.integers(0, len(as_events(events[:-1]))))]
    chunks, _ = _stream(body)
    assert _finishes(chunks) == []
    assert not any("usage" in chunk for chunk in chunks)


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("ERROR_LIMIT", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_TOXIC", "content_filter"),
        ("NEW_ONE", "stop"),
    ],
)
def test_reasons(native: str, finish: str) -> None:
    assert _finishes(_stream(as_events([ended(native)]))[0]) == [finish]


@pytest.mark.parametrize("end", [ended("ERROR"), ended("TIMEOUT"), ended("ERROR", error="Overloaded.")])
def test_an_answer_that_failed_is_a_problem_and_what_came_before_stands(end: dict[str, Any]) -> None:
    chunks, decoder = _stream(as_events([*TEXT[:-1], end]))
    assert _joined(chunks, "content") == "Sun today"
    assert _finishes(chunks) == []
    assert decoder.problem is not None
    assert decoder.problem.message == end["delta"].get("error", decoder.problem.message)


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"7", b'{"message":"no"}', b'{"message":{}}'])
def test_a_whole_answer_that_is_none_is_a_problem(body: bytes) -> None:
    chunks, decoder = _whole(body)
    assert chunks == []
    assert decoder.problem is not None


_any = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "type",
                        "index",
                        "delta",
                        "message",
                        "content",
                        "text",
                        "thinking",
                        "tool_plan",
                        "tool_calls",
                        "id",
                    ),
                    *("function", "name", "arguments", "citations", "finish_reason", "error", "usage", "logprobs"),
                    *(
                        "messages",
                        "role",
                        "tools",
                        "tool_choice",
                        "allowed_tools",
                        "reasoning_details",
                        "response_format",
                    ),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
_kinds = st.sampled_from([each["type"] for each in (*TEXT, *TOOLS)])


@given(_any, _kinds)
def test_nothing_that_a_server_sends_is_a_bug(value: Any, kind: str) -> None:
    for told in (value, {"type": kind, "delta": value}, {"type": kind, "index": value, "delta": {"message": value}}):
        _stream(as_events([{"type": kind}]) + b"data: %b\n\n" % json.dumps(told).encode())
        _whole(json.dumps(told).encode())


@given(st.dictionaries(st.sampled_from(["messages", "tools", "tool_choice", "stop", "n", "documents"]), _any), _any)
def test_a_chat_is_asked_or_refused_whatever_it_is(chat: dict[str, Any], message: Any) -> None:
    for one in (
        chat,
        _chat(message, **{k: v for k, v in chat.items() if k != "messages"}),
        _chat({"role": "assistant"}),
    ):
        try:
            _asked(one)
        except Invalid as error:
            assert error.message.endswith(".")  # noqa: PT017  both outcomes are right, no other is


# Usage, errors, embeddings


def test_what_is_billed_counts() -> None:
    reported = json.dumps(USAGE).encode()
    tokens = Cohere().usage(reported)
    assert tokens == TokenCounts(input_uncached=8, cache_read=4, output_text=7)
    (answer,), _ = _whole(json.dumps(WHOLE).encode())
    assert openai_tokens_of(json.dumps(answer["usage"]).encode()) == tokens
    only_tokens = {"billed_units": {}, "tokens": {"input_tokens": 5, "output_tokens": 2}}
    assert Cohere().usage(json.dumps(only_tokens).encode()) == TokenCounts(input_uncached=5, output_text=2)


@pytest.mark.parametrize(
    ("status", "message", "kind", "code"),
    [
        (401, "invalid api token", "authentication_error", None),
        (429, "You are past the per minute request limit.", "rate_limit_error", None),
        (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292.",
         "invalid_request_error", "context_length_exceeded"),
        (500, "internal server error", "server_error", None),
    ],
)  # fmt: skip
def test_errors(status: int, message: str, kind: str, code: str | None) -> None:
    """Source of the messages: https://docs.cohere.com/reference/errors"""
    problem = Cohere().problem(status, json.dumps({"id": "x", "message": message}).encode())
    assert problem is not None
    assert (problem.message, problem.type, problem.code) == (message, kind, code)
    assert Cohere().problem(status, b"<html>") is None


def test_embeddings_are_asked_for_as_coheres_client_does() -> None:
    path, _, theirs = _sent(
        lambda client: client.embed(
            model="command-a", texts=["a", "b"], input_type="search_query", embedding_types=["float"],
            output_dimension=256, truncate="END",
        ),
        EMBEDDED,
    )  # fmt: skip
    chat = {"input": ["a", "b"], "dimensions": 256, "input_type": "search_query", "truncate": "END", "user": "u"}
    call = _call({"model": "route", **chat}, operation=Operation.EMBEDDING)
    assert json.loads(Cohere().encode(call)) == theirs
    assert "/v2" + Cohere().path(call) == path


def test_what_embeddings_are_for_is_an_option() -> None:
    call = _call({"model": "route", "input": "a"}, operation=Operation.EMBEDDING)
    assert json.loads(Cohere().encode(call))["input_type"] == "search_document"
    assert json.loads(Cohere(input_type="clustering").encode(call))["input_type"] == "clustering"


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_come_as_they_were_asked_for(encoding: str) -> None:
    call = _call({"model": "route", "input": ["a", "b"], "encoding_format": encoding}, operation=Operation.EMBEDDING)
    decoder = Cohere().decoder(call)
    body = json.dumps(EMBEDDED).encode()
    assert decoder.feed(body[:9]) + decoder.feed(body[9:]) == []
    (answer,) = decoder.end()
    vectors = [each["embedding"] for each in answer["data"]]
    if encoding == "base64":
        vectors = [list(array("f", b64decode(vector))) for vector in vectors]
    assert vectors == [[0.5, -0.25], [1.0, 2.0]]
    assert [each["index"] for each in answer["data"]] == [0, 1]
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    assert Cohere().usage(decoder.usage) == TokenCounts(input_uncached=6)


@pytest.mark.parametrize("wrong", [[1, 2], [[1]], 7, None])
def test_tokens_are_no_texts(wrong: Any) -> None:
    call = _call({"model": "route", "input": wrong}, operation=Operation.EMBEDDING)
    with pytest.raises(Invalid, match=r"texts|wrong"):
        Cohere().encode(call)
