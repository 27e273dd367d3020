"""What Gemini answers, as OpenAI's chat completions."""

import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.costing import tokens_of as openai_tokens_of
from rondel.gateway.dialects.events import event_of
from rondel.gateway.dialects.generate.answers import Answers
from rondel.gateway.dialects.generate.usage import openai_usage, tokens_of, usage_metadata
from rondel.gateway.dialects.generate.words import FINISH, problem_of
from rondel.gateway.dialects.generate.writing import Responses
from rondel.gateway.ports import Chunk
from rondel.telemetry.records import TokenCounts
from tests.unit.gateway.generate import wire


def _stream(body: bytes, cuts: list[int] | None = None) -> tuple[list[Chunk], Answers]:
    decoder = Answers(is_stream=True)
    ends = sorted(cuts or [])
    chunks: list[Chunk] = []
    for begin, end in zip([0, *ends], [*ends, len(body)], strict=True):
        chunks += decoder.feed(body[begin:end])
    return chunks + decoder.end(), decoder


def _whole(response: dict[str, Any]) -> tuple[Chunk, Answers]:
    decoder = Answers(is_stream=False)
    body = json.dumps(response, indent=2).encode()
    assert decoder.feed(body[:7]) + decoder.feed(body[7:]) == []
    (answer,) = decoder.end()
    return answer, decoder


def _deltas(chunks: list[Chunk], index: int = 0) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]


def _joined(chunks: list[Chunk], name: str, index: int = 0) -> str:
    return "".join(delta.get(name) or "" for delta in _deltas(chunks, index))


def _finishes(chunks: list[Chunk]) -> list[Any]:
    return [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]


@pytest.mark.parametrize("responses", [*wire.STREAMS, [wire.WITH_LOGPROBS]])
def test_googles_client_reads_what_we_take_for_its_wire(responses: list[wire.Response]) -> None:
    for response in responses:
        types.GenerateContentResponse.model_validate(response)


@pytest.mark.parametrize("write", [wire.as_events, wire.as_array])
def test_text_comes_as_it_is_said_and_ends_with_its_usage(write: Any) -> None:
    chunks, decoder = _stream(write(wire.TEXT))
    assert _joined(chunks, "content") == 'Hello "you" {there}\n'
    assert [delta.get("role") for delta in _deltas(chunks)] == ["assistant", None, None]
    assert {chunk["id"] for chunk in chunks} == {"r1"}
    assert {chunk["model"] for chunk in chunks} == {"gemini-3-flash"}
    assert _finishes(chunks) == ["stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 155
    assert json.loads(decoder.usage) == wire.USAGE
    assert decoder.problem is None


def test_thoughts_calls_and_signatures() -> None:
    chunks, _ = _stream(wire.as_events(wire.CALLS))
    assert _joined(chunks, "reasoning_content") == "Hm, Oslo."
    calls = [call for delta in _deltas(chunks) for call in delta.get("tool_calls", [])]
    assert [(call["index"], call["id"]) for call in calls] == [(0, "c1"), (1, "call_rondel_r1_0_1")]
    assert [json.loads(call["function"]["arguments"])["city"] for call in calls] == ["Oslo", "Rom"]
    details = [entry for delta in _deltas(chunks) for entry in delta.get("reasoning_details", [])]
    assert details == [{"type": "reasoning.encrypted", "data": "c2lnMQ==", "id": "c1", "format": "google-gemini-v1"}]
    assert _finishes(chunks) == ["tool_calls"]


def test_candidates_end_each_for_itself() -> None:
    chunks, _ = _stream(wire.as_events(wire.CANDIDATES))
    assert (_joined(chunks, "content", 0), _joined(chunks, "content", 1)) == ("ac", "b")
    assert _finishes(chunks) == ["stop", "length"]


def test_pictures_are_passed_on() -> None:
    chunks, _ = _stream(wire.as_events(wire.IMAGE))
    images = [image for delta in _deltas(chunks) for image in delta.get("images", [])]
    assert images == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}]


def test_a_blocked_prompt_is_a_filtered_answer() -> None:
    for chunks in (_stream(wire.as_events(wire.BLOCKED))[0], [_whole(wire.BLOCKED[0])[0]]):
        choice = chunks[0]["choices"][0]
        assert (choice["finish_reason"], choice["native_finish_reason"]) == ("content_filter", "SAFETY")
        assert "SAFETY" in choice.get("delta", choice.get("message"))["refusal"]


def test_a_whole_answer_is_one_completion() -> None:
    answer, decoder = _whole(
        wire.CALLS[2] | {"candidates": [wire.CALLS[2]["candidates"][0] | {"finishReason": "STOP"}]}
    )
    assert answer["object"] == "chat.completion"
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
    }
    assert "usage" not in answer
    assert decoder.usage == b""


def test_log_probabilities_are_told() -> None:
    answer, _ = _whole(wire.WITH_LOGPROBS)
    token = answer["choices"][0]["logprobs"]["content"][0]
    assert (token["token"], token["logprob"], token["bytes"]) == ("Hi", -0.25, [72, 105])
    assert token["top_logprobs"][0]["logprob"] == -0.25


@given(st.sampled_from(wire.STREAMS), st.sampled_from([wire.as_events, wire.as_array]), st.data())
def test_a_stream_gives_the_same_chunks_however_it_is_cut(responses: Any, write: Any, data: st.DataObject) -> None:
    body = write(responses)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=12))
    assert _stream(body, cuts)[0] == _stream(body)[0]


@given(
    st.sampled_from([wire.TEXT, wire.CALLS, wire.IMAGE]), st.sampled_from([wire.as_events, wire.as_array]), st.data()
)
def test_a_stream_that_breaks_off_has_no_finish_reason_and_no_usage(
    responses: Any, write: Any, data: st.DataObject
) -> None:
    last = len(write(responses[:-1]))
    chunks, _ = _stream(write(responses)[: data.draw(st.integers(0, last))])
    assert _finishes(chunks) == []
    assert not any("usage" in chunk for chunk in chunks)


@pytest.mark.parametrize("reason", sorted({e.value for e in types.FinishReason} - {"FINISH_REASON_UNSPECIFIED"}))
def test_every_reason_that_google_knows_ends_an_answer_or_is_a_problem(reason: str) -> None:
    response = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": reason}]}
    chunks, decoder = _stream(wire.as_events([response]))
    if decoder.problem is None:
        assert _finishes(chunks) == [FINISH.get(reason, "stop")]
        assert chunks[0]["choices"][0]["native_finish_reason"] == reason
    else:
        assert reason in decoder.problem.message
        assert (_finishes(chunks), decoder.problem.type) == ([], "server_error")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("OTHER", "stop"),
        ("NEW_ONE", "stop"),
    ],
)
def test_reasons(reason: str, finish: str) -> None:
    chunks, _ = _stream(wire.as_events([{"candidates": [{"finishReason": reason}]}]))
    assert _finishes(chunks) == [finish]


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"])
def test_an_answer_that_is_of_no_use_is_a_problem(reason: str) -> None:
    response = {"candidates": [{"finishReason": reason, "finishMessage": "Malformed: print(f())"}]}
    decoder = Answers(is_stream=False)
    decoder.feed(json.dumps(response).encode())
    assert decoder.end() == []
    assert decoder.problem is not None
    assert decoder.problem.code == reason.lower()
    assert "print(f())" in decoder.problem.message


@pytest.mark.parametrize("write", [wire.as_events, wire.as_array])
def test_an_error_within_a_stream_is_a_problem_and_what_came_before_stands(write: Any) -> None:
    chunks, decoder = _stream(write([wire.TEXT[0], wire.ERROR, wire.TEXT[2]]))
    assert _joined(chunks, "content") == "Hello"
    assert _finishes(chunks) == []
    assert decoder.problem is not None
    assert (decoder.problem.code, decoder.problem.retry_after_s) == ("RESOURCE_EXHAUSTED", 34.5)


@pytest.mark.parametrize("body", [event_of(b"{"), event_of(b"7"), event_of(b"[]"), event_of(b'{"a":' * 20_000)])
def test_what_is_no_json_is_a_problem(body: bytes) -> None:
    chunks, decoder = _stream(wire.as_events(wire.TEXT[:1]) + body)
    assert _joined(chunks, "content") == "Hello"
    assert decoder.problem is not None


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"candidates":[]}', b'{"candidates":7}'])
def test_a_whole_answer_that_is_none_is_a_problem(body: bytes) -> None:
    decoder = Answers(is_stream=False)
    decoder.feed(body)
    assert decoder.end() == []
    assert decoder.problem is not None


@given(st.binary(max_size=60), st.booleans())
def test_nothing_that_a_server_sends_is_a_bug(body: bytes, is_stream: bool) -> None:
    decoder = Answers(is_stream=is_stream)
    decoder.feed(body)
    decoder.end()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["candidates", "content", "parts", "text", "functionCall", "name", "args", "id", "index", "finishReason",
             "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "inlineData", "data", "error",
             "logprobsResult", "chosenCandidates", "topCandidates", "token", "thought", "thoughtSignature"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(_json, st.booleans())
def test_no_json_that_a_server_sends_is_a_bug(value: object, is_stream: bool) -> None:
    decoder = Answers(is_stream=is_stream)
    data = json.dumps({"candidates": value}).encode()
    decoder.feed(event_of(data) if is_stream else data)
    decoder.end()
    decoder = Answers(is_stream=is_stream)
    data = json.dumps(value).encode()
    decoder.feed(event_of(data) if is_stream else data)
    decoder.end()


# Usage


def test_usage_is_counted_once() -> None:
    tokens = tokens_of(json.dumps(wire.USAGE).encode())
    assert tokens == TokenCounts(
        input_uncached=100 + 5 - 40 - 5 - 25, cache_read=40, output_text=20, reasoning=30, audio_in=5, image_in=25
    )


def test_thoughts_that_are_counted_among_the_candidates_are_not_added() -> None:
    told = {"promptTokenCount": 12, "candidatesTokenCount": 15, "thoughtsTokenCount": 4, "totalTokenCount": 27}
    tokens = tokens_of(json.dumps(told).encode())
    assert tokens == TokenCounts(input_uncached=12, output_text=11, reasoning=4)


_counts = st.fixed_dictionaries(
    {"promptTokenCount": st.integers(0, 99)},
    optional={
        "cachedContentTokenCount": st.integers(0, 99),
        "candidatesTokenCount": st.integers(0, 99),
        "thoughtsTokenCount": st.integers(0, 99),
        "toolUsePromptTokenCount": st.integers(0, 99),
        "promptTokensDetails": st.lists(
            st.fixed_dictionaries({"modality": st.sampled_from(["TEXT", "AUDIO"]), "tokenCount": st.integers(0, 99)})
        ),
    },
)


@given(_counts)
def test_callers_and_records_are_told_the_same_tokens(told: dict[str, Any]) -> None:
    reported = json.dumps(told).encode()
    tokens = tokens_of(reported)
    usage = openai_usage(reported)
    assert tokens is not None
    assert usage is not None
    assert openai_tokens_of(json.dumps(usage).encode()) == tokens
    assert min(tokens.input_uncached, tokens.output_text, tokens.audio_in, tokens.image_in) >= 0
    given, made = usage["prompt_tokens"], usage["completion_tokens"]
    assert given == told["promptTokenCount"] + told.get("toolUsePromptTokenCount", 0)
    assert made == told.get("candidatesTokenCount", 0) + told.get("thoughtsTokenCount", 0)


@given(_counts)
def test_usage_survives_a_way_through_openais_shape(told: dict[str, Any]) -> None:
    reported = json.dumps(told).encode()
    back = usage_metadata(openai_usage(reported))
    assert tokens_of(json.dumps(back).encode()) == tokens_of(reported)


# Errors, and the way back to a caller of Gemini's dialect


def test_errors_are_told_with_their_reason() -> None:
    problem = problem_of(json.dumps(wire.BAD_KEY).encode())
    assert problem is not None
    assert (problem.type, problem.code) == ("invalid_request_error", "API_KEY_INVALID")
    listed = problem_of(json.dumps([wire.ERROR]).encode())
    assert listed is not None
    assert (listed.type, listed.code, listed.retry_after_s) == ("rate_limit_error", "RESOURCE_EXHAUSTED", 34.5)


def test_a_prompt_that_is_too_long_is_told_by_openais_code() -> None:
    message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    problem = problem_of(json.dumps({"error": {"message": message, "status": "INVALID_ARGUMENT"}}).encode())
    assert problem is not None
    assert problem.code == "context_length_exceeded"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b"[7]", b'{"error":"x"}'])
def test_other_bodies_are_no_error_of_theirs(body: bytes) -> None:
    assert problem_of(body) is None


@pytest.mark.parametrize("responses", [wire.TEXT, wire.CALLS, wire.CANDIDATES, wire.IMAGE])
@pytest.mark.parametrize("is_array", [True, False])
def test_an_answer_of_gemini_comes_to_its_callers_as_it_was(responses: Any, is_array: bool) -> None:
    writer = Responses(is_array=is_array, tells_thoughts=True)
    body = b"".join(writer.feed(chunk) for chunk in _stream(wire.as_events(responses))[0]) + writer.end()
    again = _stream(body)[0]
    assert _parts(again) == _parts(_stream(wire.as_events(responses))[0])
    told = json.loads(body) if is_array else [json.loads(event[6:]) for event in body.split(b"\n\n") if event]
    for response in told:
        types.GenerateContentResponse.model_validate(response)


def _parts(chunks: list[Chunk]) -> Any:
    """What a stream says, by candidate."""
    indexes = sorted({choice["index"] for chunk in chunks for choice in chunk["choices"]})
    names = ("content", "reasoning_content")
    texts = [[_joined(chunks, name, index) for name in names] for index in indexes]
    lists = [
        [entry for delta in _deltas(chunks, index) for entry in delta.get(name, [])]
        for index in indexes
        for name in ("tool_calls", "images", "reasoning_details")
    ]
    counts = openai_tokens_of(json.dumps(chunks[-1].get("usage")).encode())
    return texts, lists, sorted(_finishes(chunks)), counts


_deltas_of = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "content",
                        "reasoning_content",
                        "reasoning_details",
                        "tool_calls",
                        "index",
                        "id",
                        "function",
                        "name",
                    ),
                    *("arguments", "images", "image_url", "url", "type", "format", "data", "text", "usage", "logprobs"),
                    *(
                        "prompt_tokens",
                        "completion_tokens_details",
                        "reasoning_tokens",
                        "finish_reason",
                        "top_logprobs",
                    ),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_deltas_of, st.booleans())
def test_no_chunk_that_a_server_sends_is_a_bug(value: Any, is_array: bool) -> None:
    choice = {"index": 0, "delta": value, "message": value, "finish_reason": value, "logprobs": value}
    writer = Responses(is_array=is_array, tells_thoughts=True)
    body = writer.feed({"choices": [choice], "usage": value}) + writer.feed({"choices": value}) + writer.end()
    json.loads(body if is_array else body.split(b"\n\n")[0].removeprefix(b"data: "))
    json.loads(Responses(is_array=False, tells_thoughts=True).whole({"choices": [choice], "usage": value}))
