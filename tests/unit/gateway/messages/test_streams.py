"""Answers of Anthropic's servers, read as chat completions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from rondel.gateway.dataplane.folding import fold
from rondel.gateway.dialects.messages.streams import Gathered, Streamed
from rondel.gateway.models import Operation
from rondel.gateway.ports import Chunk, Problem
from tests.unit.gateway.messages.client import cut, whole
from tests.unit.gateway.messages.recorded import CHAT, OVERLOADED, THOUGHTS_AND_TOOLS, block, event, start, stop

STREAMS = [CHAT, THOUGHTS_AND_TOOLS, CHAT[:-200] + OVERLOADED]


def chunks_of(*pieces: bytes) -> list[Chunk]:
    decoder = Streamed()
    return [chunk for piece in pieces for chunk in decoder.feed(piece)] + decoder.end()


def folded(*pieces: bytes) -> dict[str, Any]:
    """The chunks as one answer."""
    return json.loads(fold([json.dumps(chunk).encode() for chunk in chunks_of(*pieces)], Operation.CHAT).body)


def test_a_chat() -> None:
    chunks = chunks_of(CHAT)
    assert [ChatCompletionChunk.model_validate(chunk).choices for chunk in chunks][-1] == []
    answer = folded(CHAT)
    ChatCompletion.model_validate(answer)
    assert answer["id"] == "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY"
    assert answer["model"] == "claude-opus-5-5"
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}
    ]
    assert answer["usage"]["prompt_tokens"] == 25
    assert answer["usage"]["completion_tokens"] == 15
    assert answer["usage"]["total_tokens"] == 40


def test_thoughts_and_tools() -> None:
    message = folded(THOUGHTS_AND_TOOLS)["choices"][0]["message"]
    assert message == {
        "role": "assistant",
        "content": "Okay, let's check the weather: grüß Gött 🌤",
        "reasoning_content": "I need the GCD of 1071 and 462.",
        "reasoning_details": [
            {
                "type": "reasoning.text",
                "text": "I need the GCD of 1071 and 462.",
                "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds",
                "format": "anthropic-claude-v1",
                "index": 0,
            },
            {
                "type": "reasoning.encrypted",
                "data": "EmwKAhgBEgy3va3pzix",
                "format": "anthropic-claude-v1",
                "index": 1,
            },
        ],
        "tool_calls": [
            {
                "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"location": "San Francisco, CA"}'},
            },
            {"id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
    }
    assert folded(THOUGHTS_AND_TOOLS)["choices"][0]["finish_reason"] == "tool_calls"


def test_cached_tokens_are_a_part_of_what_was_prompted() -> None:
    usage = folded(THOUGHTS_AND_TOOLS)["usage"]
    assert usage["prompt_tokens"] == 100 + 40 + 30
    assert usage["prompt_tokens_details"] == {"cached_tokens": 40, "cache_write_tokens": 30}
    assert usage["completion_tokens"] == 89
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 33}


def test_usage_is_kept_as_reported_and_later_totals_count() -> None:
    decoder = Streamed()
    decoder.feed(THOUGHTS_AND_TOOLS)
    assert json.loads(decoder.usage) == {
        "input_tokens": 100,
        "output_tokens": 89,
        "cache_read_input_tokens": 40,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "service_tier": "standard",
        "output_tokens_details": {"thinking_tokens": 33},
    }


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 10_000), max_size=12))
def test_however_a_stream_is_cut_it_says_the_same(stream: bytes, cuts: list[int]) -> None:
    assert chunks_of(*cut(stream, cuts)) == chunks_of(stream)


@pytest.mark.parametrize("stream", [CHAT, THOUGHTS_AND_TOOLS])
def test_what_breaks_off_has_no_finish_reason_and_no_problem(stream: bytes) -> None:
    whole_ = chunks_of(stream)
    ended_at = stream.index(b"event: message_delta")
    for length in range(0, ended_at + len(b"event: message_delta"), 7):
        decoder = Streamed()
        chunks = decoder.feed(stream[:length]) + decoder.end()
        assert chunks == whole_[: len(chunks)]
        assert not any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])
        assert decoder.problem is None


def test_an_answer_whose_last_event_alone_is_missing_is_whole() -> None:
    stream = CHAT[: CHAT.index(b"event: message_stop")]
    assert chunks_of(stream) == chunks_of(CHAT)
    assert chunks_of(stream[:-2]) == chunks_of(CHAT)


def test_nothing_is_given_after_an_error_event() -> None:
    decoder = Streamed()
    chunks = decoder.feed(start() + OVERLOADED + stop("end_turn")) + decoder.end()
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [None]
    assert decoder.problem == Problem("Overloaded", "overloaded_error")


@pytest.mark.parametrize("garbage", [b"data: {\n\n", b'data: {"type": 5}\n\n', b"data: <html>\n\n", b"data: \xff\n\n"])
def test_an_event_that_is_none_is_a_problem(garbage: bytes) -> None:
    decoder = Streamed()
    decoder.feed(start() + garbage)
    assert decoder.problem is not None


def test_what_is_not_known_yet_is_passed_over() -> None:
    stream = (
        start()
        + event("new_thing", index=0, novelty=[1])
        + block(0, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}})
        + block(1, {"type": "text", "text": "a"}, {"type": "novel_delta"}, {"type": "text_delta", "text": "b"})
        + stop("end_turn")
    )
    assert folded(stream)["choices"][0]["message"]["content"] == "ab"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_every_stop_reason(reason: str, told: str) -> None:
    assert folded(start() + stop(reason))["choices"][0]["finish_reason"] == told
    decoder = Gathered()
    decoder.feed(whole().replace(b"end_turn", reason.encode()))
    assert decoder.end()[0]["choices"][0]["finish_reason"] == told


def test_a_whole_answer_says_what_its_stream_says() -> None:
    content: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "I need the GCD of 1071 and 462.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "text", "text": "Okay."},
        {"type": "tool_use", "id": "t1", "name": "now", "input": {}},
    ]
    usage = {"input_tokens": 25, "output_tokens": 15}
    message = {
        "id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": content,
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": usage,
    }
    decoder = Gathered()
    data = json.dumps(message).encode()
    assert decoder.feed(data[:50]) == decoder.feed(data[50:]) == []
    [answer] = decoder.end()
    ChatCompletion.model_validate(answer)
    streamed = (
        start()
        + block(
            0, {**content[0], "thinking": "", "signature": ""}, *_deltas("thinking", content[0]["thinking"], "c2ln")
        )
        + block(1, content[1])
        + block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Okay."})
        + block(3, content[3])
        + stop("tool_use")
    )
    assert answer == {**folded(streamed), "object": "chat.completion"}
    assert json.loads(decoder.usage) == usage


def _deltas(kind: str, text: object, signature: str) -> list[dict[str, Any]]:
    return [{"type": f"{kind}_delta", kind: text}, {"type": "signature_delta", "signature": signature}]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}',
            Problem("slow", "rate_limit_error"),
        ),
        (b"<html>", None),
        (b"{}", None),
        (b'{"type":"message","content":5}', None),
        (b"", None),
        (b"[" * 50_000, None),
    ],
)
def test_a_body_that_is_no_message_is_a_problem(body: bytes, problem: Problem | None) -> None:
    decoder = Gathered()
    decoder.feed(body)
    assert decoder.end() == []
    assert decoder.problem is not None
    assert problem is None or decoder.problem == problem
