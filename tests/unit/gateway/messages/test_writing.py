"""Chat completions, written as the official client of the Messages API reads them."""

import json
from collections.abc import Sequence
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, ThinkingBlock, ToolUseBlock
from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.dialects.messages.dialect import Messages
from rondel.gateway.dialects.messages.streams import Gathered, Streamed
from rondel.gateway.dialects.messages.writing import MessagesWriter
from rondel.gateway.ports import Chunk, Problem
from tests.unit.gateway.messages.client import Wire
from tests.unit.gateway.messages.recorded import CHAT, THOUGHTS_AND_TOOLS

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **fields: Any) -> Chunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt", "choices": [choice], **fields}


def called(index: int, arguments: str, name: str | None = None, call_id: str | None = None) -> dict[str, Any]:
    """A delta of a tool call, as OpenAI streams them."""
    named = {"id": call_id, "type": "function"} if call_id else {}
    return {"tool_calls": [{"index": index, **named, "function": {"name": name, "arguments": arguments}}]}


def written(chunks: Sequence[Chunk]) -> bytes:
    writer = MessagesWriter("support")
    return b"".join([writer.feed(piece) for piece in chunks]) + writer.end()


def parsed(stream: bytes) -> Message:
    """What the official client gathers from a stream."""
    asked: Any = {"model": "support", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    with Wire(stream, is_stream=True).client().messages.stream(**asked) as events:
        return events.get_final_message()


def got(body: bytes) -> Message:
    """What the official client makes of a whole answer."""
    return (
        Wire(body).client().messages.create(model="support", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    )


def test_a_stream_of_text() -> None:
    chunks: list[Chunk] = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        {"id": "chatcmpl-1", "model": "gpt", "choices": [], "usage": USAGE},
    ]
    message = parsed(written(chunks))
    assert message.id == "chatcmpl-1"
    assert message.model == "gpt"
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Hello"}]
    assert message.stop_reason == "end_turn"


def test_usage_leaves_out_of_the_input_what_was_cached() -> None:
    message = parsed(written([chunk({"content": "x"}, "stop", usage=USAGE)]))
    assert message.usage.input_tokens == 30
    assert message.usage.cache_read_input_tokens == 60
    assert message.usage.cache_creation_input_tokens == 10
    assert message.usage.output_tokens == 20
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 5


def test_the_first_text_is_not_held_back() -> None:
    writer = MessagesWriter("support")
    assert b"text_delta" in writer.feed(chunk({"role": "assistant", "content": "H"}))


def test_thoughts_texts_and_tools_are_blocks_of_their_own() -> None:
    chunks = [
        chunk({"role": "assistant", "reasoning_content": "Hm"}),
        chunk({"reasoning": ", yes."}),
        chunk({"content": "Let me look."}),
        chunk(called(0, "", "weather", "call_1")),
        chunk(called(0, '{"city": ')),
        chunk(called(0, '"Ulm"}')),
        chunk(called(1, "", "now", "call_2")),
        chunk(called(1, "{}")),
        chunk({}, "tool_calls"),
    ]
    message = parsed(written(chunks))
    assert [block.to_dict() for block in message.content] == [
        {"type": "thinking", "thinking": "Hm, yes.", "signature": ""},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Ulm"}},
        {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
    ]
    assert message.stop_reason == "tool_use"


def test_calls_that_are_streamed_side_by_side_stay_apart() -> None:
    chunks = [
        chunk({**called(1, '{"a"', "first", "c1"), "content": "x"}),
        chunk(called(0, '{"b"', "second", "c0")),
        chunk({"content": "between"}),
        chunk(called(1, ": 1}")),
        chunk(called(0, ": 0}")),
        chunk(called(7, "", "third")),
        chunk({}, "stop"),
    ]
    message = parsed(written(chunks))
    assert [block.to_dict() for block in message.content] == [
        {"type": "text", "text": "x"},
        {"type": "tool_use", "id": "c1", "name": "first", "input": {"a": 1}},
        {"type": "tool_use", "id": "c0", "name": "second", "input": {"b": 0}},
        {"type": "tool_use", "id": "toolu_chatcmpl-1_7", "name": "third", "input": {}},
        {"type": "text", "text": "between"},
    ]
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("choice", "reason", "sequence"),
    [
        ({"finish_reason": "stop"}, "end_turn", None),
        ({"finish_reason": "length"}, "max_tokens", None),
        ({"finish_reason": "tool_calls"}, "tool_use", None),
        ({"finish_reason": "content_filter"}, "refusal", None),
        ({"finish_reason": "eos"}, "end_turn", None),
        ({"finish_reason": "stop", "stop_reason": "END"}, "stop_sequence", "END"),
        ({"finish_reason": "stop", "stop_reason": 128009}, "end_turn", None),
        ({"finish_reason": "stop", "anthropic": {"stop_reason": "pause_turn"}}, "pause_turn", None),
        ({"finish_reason": "stop", "message": {"refusal": "No."}, "delta": {"refusal": "No."}}, "refusal", None),
    ],
)
def test_every_finish_reason(choice: dict[str, Any], reason: str, sequence: str | None) -> None:
    said = {"delta": {"content": ""}, "message": {"content": ""}, **choice}
    streamed = parsed(written([{"id": "1", "choices": [{"index": 0, **said}]}]))
    whole = got(MessagesWriter("m").whole({"id": "1", "choices": [{"index": 0, **said}]}))
    assert (streamed.stop_reason, streamed.stop_sequence) == (reason, sequence)
    assert (whole.stop_reason, whole.stop_sequence) == (reason, sequence)


def test_a_whole_answer() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}]
    said = {"role": "assistant", "content": "So.", "reasoning_content": "Hm.", "tool_calls": calls}
    choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
    message = got(MessagesWriter("support").whole({"id": "1", "choices": [choice], "usage": USAGE}))
    thought, _, call = message.content
    assert isinstance(thought, ThinkingBlock)
    assert thought.thinking == "Hm."
    assert isinstance(call, ToolUseBlock)
    assert call.input == {"city": "Ulm"}
    assert message.model == "support"
    assert message.stop_reason == "tool_use"
    assert message.usage.input_tokens == 30


@pytest.mark.parametrize("stream", [CHAT, THOUGHTS_AND_TOOLS])
def test_what_anthropic_streams_is_the_same_message_after_both_translations(stream: bytes) -> None:
    decoder = Streamed()
    chunks = decoder.feed(stream) + decoder.end()
    ours, theirs = parsed(written(chunks)).to_dict(), parsed(stream).to_dict()
    assert {**ours, "usage": None} == {**theirs, "usage": None}
    told: Any = theirs["usage"]
    made: Any = ours["usage"]
    early = (
        "cache_creation",
        "service_tier",
    )  # the client takes these from the first event, where we know them not yet
    assert made == {name: value for name, value in told.items() if name not in early} | {
        name: made[name] for name in made if name not in told
    }


def test_what_anthropic_answers_whole_is_the_same_message_after_both_translations() -> None:
    body = json.dumps(parsed(THOUGHTS_AND_TOOLS).to_dict()).encode()
    decoder = Gathered()
    decoder.feed(body)
    [answer] = decoder.end()
    assert got(MessagesWriter("m").whole(answer)).to_dict() == got(body).to_dict()


def test_a_stream_that_broke_off_raises_at_the_client() -> None:
    writer = MessagesWriter("support")
    stream = writer.feed(chunk({"content": "Hel"})) + writer.broken(Problem("The upstream broke off.", "server_error"))
    with pytest.raises(anthropic.APIStatusError, match=r"The upstream broke off\."):
        parsed(stream)


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError),
        (413, "request_too_large", anthropic.APIStatusError),
        (422, "invalid_request_error", anthropic.APIStatusError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (502, "api_error", anthropic.APIStatusError),
        (503, "overloaded_error", anthropic.APIStatusError),
        (504, "timeout_error", anthropic.APIStatusError),
    ],
)
def test_errors_are_the_clients_own(status: int, kind: str, error: type[anthropic.APIStatusError]) -> None:
    body = Messages().error(status, Problem("No route is called 'x'.", "invalid_request" if status < 402 else ""))
    asked: Any = {"model": "x", "max_tokens": 1, "messages": []}
    with pytest.raises(error) as raised:
        Wire(body, status=status).client().messages.create(**asked)
    assert raised.value.type == kind
    assert raised.value.api_message == "No route is called 'x'."


def _deltas(text: str, index: int, arguments: str) -> list[dict[str, Any]]:
    return [
        {"content": text},
        {"reasoning_content": text},
        {"reasoning_details": [{"type": "reasoning.text", "signature": text}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": text}]},
        called(index, arguments, "n", "i"),
        {"content": None},
        {"content": 5},
        {"tool_calls": [{}]},
        {"tool_calls": None},
        {},
    ]


_DELTAS = st.builds(
    _deltas, st.text(max_size=4), st.integers(0, 2), st.sampled_from(["", "{", "}", "{}", '{"a":1}'])
).flatmap(st.sampled_from)


@given(st.lists(_DELTAS, max_size=10))
def test_whatever_comes_blocks_begin_and_end_one_after_the_other_and_no_text_is_lost(
    deltas: list[dict[str, Any]],
) -> None:
    stream = written([chunk(delta) for delta in deltas])
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: ")]
    assert [event["type"] for event in events[:1] + events[-2:]] == ["message_start", "message_delta", "message_stop"]
    open_: int | None = None
    count = 0
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert open_ is None
                assert event["index"] == count
                open_, count = count, count + 1
            case "content_block_delta":
                assert event["index"] == open_
            case kind:
                assert kind == "content_block_stop"
                assert event["index"] == open_
                open_ = None
    assert open_ is None
    said = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    assert said == "".join(delta["content"] for delta in deltas if isinstance(delta.get("content"), str))
