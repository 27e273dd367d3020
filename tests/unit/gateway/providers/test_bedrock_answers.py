"""Bedrock's answers, in frames that botocore reads."""

import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from rondel.gateway.dataplane.folding import fold
from rondel.gateway.dialects.converse.answers import Streamed
from rondel.gateway.dialects.converse.frames import Damaged, Frames
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Chunk, Problem
from rondel.gateway.providers.bedrock import Bedrock
from rondel.telemetry.records import TokenCounts
from tests.unit.gateway.messages.client import cut
from tests.unit.gateway.providers.aws import event, frame, parsed, sealed

CLAUDE = "us.anthropic.claude-opus-5-5-v1:0"
PROVIDER = Bedrock()

CHAT = (
    event("messageStart", role="assistant")
    + event("contentBlockDelta", contentBlockIndex=0, delta={"text": "Grüß"})
    + event("contentBlockDelta", contentBlockIndex=0, delta={"text": " Gott"})
    + event("contentBlockStop", contentBlockIndex=0)
    + event("messageStop", stopReason="end_turn")
    + event(
        "metadata",
        usage={"inputTokens": 5, "outputTokens": 7, "totalTokens": 12},
        metrics={"latencyMs": 300},
    )
)
USAGE = {
    "inputTokens": 5,
    "outputTokens": 7,
    "totalTokens": 112,
    "cacheReadInputTokens": 60,
    "cacheWriteInputTokens": 40,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 30}, {"ttl": "5m", "inputTokens": 10}],
}
THOUGHTS_AND_TOOLS = (
    event("messageStart", role="assistant")
    + event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"text": "H"}})
    + event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"text": "m."}})
    + event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"signature": "c2ln"}})
    + event("contentBlockStop", contentBlockIndex=0)
    + event("contentBlockDelta", contentBlockIndex=1, delta={"reasoningContent": {"redactedContent": "ZGF0YQ=="}})
    + event("contentBlockStop", contentBlockIndex=1)
    + event("contentBlockDelta", contentBlockIndex=2, delta={"text": "So."})
    + event("contentBlockStop", contentBlockIndex=2)
    + event("contentBlockStart", contentBlockIndex=3, start={"toolUse": {"toolUseId": "t1", "name": "weather"}})
    + event("contentBlockDelta", contentBlockIndex=3, delta={"toolUse": {"input": '{"city":'}})
    + event("contentBlockDelta", contentBlockIndex=3, delta={"toolUse": {"input": ' "Ulm"}'}})
    + event("contentBlockStop", contentBlockIndex=3)
    + event("contentBlockStart", contentBlockIndex=4, start={"toolUse": {"toolUseId": "t2", "name": "now"}})
    + event("contentBlockStop", contentBlockIndex=4)
    + event("messageStop", stopReason="tool_use")
    + event("metadata", usage=USAGE, metrics={"latencyMs": 300})
)


def chunks_of(*pieces: bytes) -> list[Chunk]:
    decoder = Streamed(CLAUDE)
    return [chunk for piece in pieces for chunk in decoder.feed(piece)] + decoder.end()


def folded(*pieces: bytes) -> dict[str, Any]:
    return json.loads(fold([json.dumps(chunk).encode() for chunk in chunks_of(*pieces)], Operation.CHAT).body)


@pytest.mark.parametrize("stream", [CHAT, THOUGHTS_AND_TOOLS])
def test_our_streams_are_botocores(stream: bytes) -> None:
    events = parsed(stream)
    assert [next(iter(found)) for found in events][:: len(events) - 1] == ["messageStart", "metadata"]
    assert all(next(iter(found.values())) for found in events)


def test_a_stream() -> None:
    answer = folded(CHAT)
    ChatCompletion.model_validate(answer)
    assert answer["model"] == CLAUDE
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Grüß Gott"}, "finish_reason": "stop"}
    ]
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (5, 7)


def test_a_stream_and_a_whole_answer_say_the_same() -> None:
    streamed = folded(THOUGHTS_AND_TOOLS)
    content: list[Any] = [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "ZGF0YQ=="}},
        {"text": "So."},
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Ulm"}}},
        {"toolUse": {"toolUseId": "t2", "name": "now", "input": {}}},
    ]
    output = {"message": {"role": "assistant", "content": content}}
    whole = {"output": output, "stopReason": "tool_use", "usage": USAGE, "metrics": {"latencyMs": 300}}
    decoder = PROVIDER.decoder(Call(Operation.CHAT, CLAUDE, {}, is_stream=False))
    assert decoder is not None
    body = json.dumps(whole).encode()
    assert decoder.feed(body[:40]) == decoder.feed(body[40:]) == []
    [answer] = decoder.end()
    ChatCompletion.model_validate(answer)
    assert answer == streamed
    assert json.loads(decoder.usage) == USAGE
    message = answer["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm."
    assert [detail["type"] for detail in message["reasoning_details"]] == ["reasoning.text", "reasoning.encrypted"]
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ['{"city": "Ulm"}', "{}"]
    assert answer["usage"]["prompt_tokens"] == 5 + 60 + 40
    assert answer["usage"]["anthropic"] == {
        "cache_creation": {"ephemeral_1h_input_tokens": 30, "ephemeral_5m_input_tokens": 10}
    }


@given(st.sampled_from([CHAT, THOUGHTS_AND_TOOLS]), st.lists(st.integers(0, 10_000), max_size=12))
def test_however_a_stream_is_cut_it_says_the_same(stream: bytes, cuts: list[int]) -> None:
    assert chunks_of(*cut(stream, cuts)) == chunks_of(stream)


def test_what_breaks_off_has_no_finish_reason_and_no_problem() -> None:
    whole = chunks_of(CHAT)
    stop = len(CHAT[: CHAT.index(b"messageStop")])
    for length in range(0, stop, 5):
        decoder = Streamed(CLAUDE)
        chunks = decoder.feed(CHAT[:length]) + decoder.end()
        assert chunks == whole[: len(chunks)]
        assert not any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])
        assert decoder.problem is None


@given(st.integers(0, len(CHAT) - 1), st.integers(1, 255))
def test_a_byte_that_was_changed_is_never_read_as_an_answer(place: int, change: int) -> None:
    """A changed length may also let the stream wait for bytes that do not come; it is never taken for whole."""
    broken = bytearray(CHAT)
    broken[place] ^= change
    decoder = Streamed(CLAUDE)
    chunks = decoder.feed(bytes(broken)) + decoder.end()
    assert chunks == chunks_of(CHAT)[: len(chunks)]
    assert decoder.problem is not None


_NAMES = st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=9)


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.dictionaries(_NAMES, st.text(max_size=9), max_size=3)), max_size=4)
)
def test_frames_are_botocores(messages: list[tuple[bytes, dict[str, str]]]) -> None:
    stream = b"".join(frame(payload, **headers) for payload, headers in messages)
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    theirs = [(message.headers, message.payload) for message in buffer]
    assert [tuple(found) for found in Frames().feed(stream)] == theirs


def test_headers_of_every_type_are_passed_over() -> None:
    """Types 0 to 9 of the format; what is no string is not kept, and an unknown type is damage."""
    values = [b"", b"", b"1", b"12", b"1234", b"12345678", b"\x00\x02ab", b"\x00\x01x", b"12345678", b"1" * 16]
    told = b"".join(b"\x01h" + bytes([kind]) + value for kind, value in enumerate(values))
    [found] = Frames().feed(sealed(told, b""))
    assert found.headers == {"h": "x"}
    for wrong in (b"\x01h\x0a", b"\x01h\x07\x00\x09x", b"\x09h", b"\x01\xff\x00"):
        with pytest.raises(Damaged):
            Frames().feed(sealed(wrong, b""))


def test_an_exception_in_a_stream_is_a_problem() -> None:
    exception = frame(b'{"message":"Too many tokens"}', exception_type="throttlingException", message_type="exception")
    assert parsed(exception)[0]["Error"] == {"Code": "throttlingException", "Message": "Too many tokens"}
    decoder = Streamed(CLAUDE)
    chunks = decoder.feed(event("messageStart", role="assistant") + exception)
    assert len(chunks) == 1
    assert decoder.problem == Problem("Too many tokens", "rate_limit_error", "ThrottlingException")
    assert decoder.feed(CHAT) == []


def test_an_error_frame_is_a_problem() -> None:
    decoder = Streamed(CLAUDE)
    decoder.feed(frame(b"", error_code="InternalError", error_message="Broken", message_type="error"))
    assert decoder.problem == Problem("Broken", "", "InternalError")


@pytest.mark.parametrize(
    ("reason", "told_"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_tool_use", "stop"),
    ],
)
def test_every_stop_reason(reason: str, told_: str) -> None:
    assert folded(event("messageStop", stopReason=reason))["choices"][0]["finish_reason"] == told_


def test_cached_tokens_are_counted_beside_the_input() -> None:
    counted = TokenCounts(input_uncached=5, cache_read=60, cache_write=40, output_text=7)
    assert PROVIDER.usage(json.dumps(USAGE).encode()) == counted


def test_its_errors_are_read() -> None:
    assert PROVIDER.problem(400, b'{"message":"no"}') == Problem("no")
    assert PROVIDER.problem(403, b'{"Message":"no"}') == Problem("no")
    typed = b'{"__type":"com.amazon#ValidationException","message":"no"}'
    assert PROVIDER.problem(400, typed) == Problem("no", "invalid_request_error", "ValidationException")
