"""A response that a provider gave, read as chat completions; and there and back."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rondel.gateway.dataplane.folding import fold
from rondel.gateway.dialects.responses.decoding import ResponsesDecoder
from rondel.gateway.dialects.responses.dialect import Responses
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Chunk, Problem
from rondel.gateway.providers.openai import OpenAI
from tests.unit.gateway.dialects.responses.talking import call_piece, events_of, piece, spent, whole, write, writer_of

# After https://platform.openai.com/docs/api-reference/responses-streaming
FUNCTION_STREAM = b"""event: response.created
data: {"type":"response.created","response":{"id":"resp_67cc","object":"response","created_at":1741290958,"status":"in_progress","error":null,"incomplete_details":null,"instructions":null,"model":"gpt-4.1-2025-04-14","output":[],"parallel_tool_calls":true,"store":true,"usage":null}}

event: response.output_item.added
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"fc_1234xyz","call_id":"call_1234xyz","name":"get_weather","arguments":""}}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","item_id":"fc_1234xyz","output_index":0,"delta":"{\\""}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","item_id":"fc_1234xyz","output_index":0,"delta":"location\\":\\"Paris\\"}"}

event: response.function_call_arguments.done
data: {"type":"response.function_call_arguments.done","item_id":"fc_1234xyz","output_index":0,"arguments":"{\\"location\\":\\"Paris\\"}"}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","id":"fc_1234xyz","call_id":"call_1234xyz","name":"get_weather","arguments":"{\\"location\\":\\"Paris\\"}"}}

event: response.completed
data: {"type":"response.completed","response":{"id":"resp_67cc","object":"response","created_at":1741290958,"status":"completed","model":"gpt-4.1-2025-04-14","service_tier":"flex","output":[{"type":"function_call","id":"fc_1234xyz","call_id":"call_1234xyz","name":"get_weather","arguments":"{\\"location\\":\\"Paris\\"}"}],"usage":{"input_tokens":291,"input_tokens_details":{"cached_tokens":128},"output_tokens":23,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":314}}}

"""  # noqa: E501  as it was sent

# After https://platform.openai.com/docs/api-reference/responses/create
WHOLE: Chunk = {
    "id": "resp_67cc",
    "object": "response",
    "created_at": 1741294021,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-4.1-2025-04-14",
    "output": [
        {"type": "web_search_call", "id": "ws_67cc", "status": "completed"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {
            "type": "message",
            "id": "msg_67cc",
            "status": "completed",
            "role": "assistant",
            "content": [
                {
                    "type": "output_text",
                    "text": "As of today ...",
                    "annotations": [
                        {"type": "url_citation", "start_index": 0, "end_index": 5, "url": "https://a", "title": "A"}
                    ],
                }
            ],
        },
    ],
    "usage": {
        "input_tokens": 328,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 356,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 684,
    },
}


def _decoded(data: bytes, cuts: Iterable[int] = ()) -> tuple[list[Chunk], ResponsesDecoder]:
    decoder = ResponsesDecoder(is_stream=True)
    places = sorted(cuts)
    chunks = [
        chunk
        for begin, end in zip([0, *places], [*places, len(data)], strict=True)
        for chunk in decoder.feed(data[begin:end])
    ]
    return chunks + decoder.end(), decoder


def _folded(chunks: list[Chunk]) -> Any:
    return json.loads(fold([json.dumps(chunk).encode() for chunk in chunks], Operation.CHAT).body)


def test_a_streamed_call_is_read_for_the_record() -> None:
    chunks, decoder = _decoded(FUNCTION_STREAM)
    answer = _folded(chunks)
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert answer["choices"][0]["message"]["tool_calls"] == [
        {
            "id": "call_1234xyz",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"location":"Paris"}'},
        }
    ]
    assert (answer["id"], answer["model"], answer["service_tier"]) == ("resp_67cc", "gpt-4.1-2025-04-14", "flex")
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 128}
    assert json.loads(decoder.usage)["input_tokens"] == 291
    tokens = OpenAI().usage(decoder.usage)
    assert tokens is not None
    assert (tokens.input_uncached, tokens.cache_read, tokens.output_text, tokens.reasoning) == (163, 128, 18, 5)


@given(st.lists(st.integers(0, len(FUNCTION_STREAM)), max_size=12))
def test_any_cutting_of_a_stream_gives_the_same(cuts: list[int]) -> None:
    assert _decoded(FUNCTION_STREAM, cuts)[0] == _decoded(FUNCTION_STREAM)[0]


@given(st.integers(0, FUNCTION_STREAM.index(b"event: response.completed") + 40))
def test_a_truncated_stream_is_never_finished(kept: int) -> None:
    chunks, _ = _decoded(FUNCTION_STREAM[:kept])
    assert not any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])


def test_a_whole_answer_is_one_completion() -> None:
    decoder = ResponsesDecoder(is_stream=False)
    data = json.dumps(WHOLE).encode()
    assert decoder.feed(data[:100]) + decoder.feed(data[100:]) == []
    (answer,) = decoder.end()
    message = answer["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("As of today ...", "Hm.")
    assert message["annotations"][0]["url_citation"]["url"] == "https://a"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == 684
    assert json.loads(decoder.usage)["tool_usage"] == {"web_search": {"num_requests": 1}}


def test_an_answer_that_came_only_in_its_last_event_is_read() -> None:
    data = f"data: {json.dumps({'type': 'response.completed', 'response': WHOLE})}\n\n".encode()
    message = _folded(_decoded(data)[0])["choices"][0]["message"]
    assert message["content"] == "As of today ..."


def test_an_answer_that_was_cut_says_why() -> None:
    incomplete = {**WHOLE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    data = f"data: {json.dumps({'type': 'response.incomplete', 'response': incomplete})}\n\n".encode()
    assert _folded(_decoded(data)[0])["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.failed", "response": {"id": "r", "error": {"code": "server_error", "message": "no"}}},
        {"type": "error", "code": "server_error", "message": "no", "param": None},
        {"type": "error", "error": {"type": "server_error", "code": "server_error", "message": "no"}},
    ],
)
def test_a_failed_stream_has_a_problem(event: Chunk) -> None:
    chunks, decoder = _decoded(f"data: {json.dumps(event)}\n\n".encode())
    assert decoder.problem == Problem("no", "server_error", "server_error")
    assert not any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff", b'{"error":{"message":"no"},"status":"failed"}'])
def test_a_whole_answer_that_is_none_has_a_problem(body: bytes) -> None:
    decoder = ResponsesDecoder(is_stream=False)
    decoder.feed(body)
    assert decoder.end() == []
    assert decoder.problem is not None


@given(st.binary(max_size=200))
def test_nonsense_in_a_stream_is_passed_over(data: bytes) -> None:
    _decoded(b"data: " + data + b"\n\n")


# There and back


texts = st.text(min_size=1, max_size=6)
calls = st.lists(st.tuples(st.sampled_from(["f", "g"]), st.lists(texts, min_size=1, max_size=3)), max_size=3)


@given(st.lists(texts, max_size=3), st.lists(texts, max_size=4), calls, st.booleans())
def test_what_chat_says_survives_the_way_through_responses(
    thoughts: list[str], words: list[str], called: list[tuple[str, list[str]]], is_signed: bool
) -> None:
    """chat chunks -> events -> chat chunks: text, reasoning, calls, finish reason and usage are the same."""
    pieces = [piece(reasoning_content=text) for text in thoughts]
    if is_signed:
        pieces.append(piece(reasoning_details=[{"type": "reasoning.text", "text": "", "signature": "s"}]))
    pieces += [piece(content=text) for text in words]
    for index, (name, arguments) in enumerate(called):
        pieces.append(call_piece(index, f"c{index}", name, ""))
        pieces += [call_piece(index, None, None, text) for text in arguments]
    finish = "tool_calls" if called else "stop"
    pieces += [piece(finish), spent()]
    data = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in write(pieces))
    before, after = _folded(pieces), _folded(_decoded(data)[0])
    then, now = before["choices"][0]["message"], after["choices"][0]["message"]
    assert now.get("tool_calls") == then.get("tool_calls")
    assert (now["content"] or "") == (then["content"] or "")
    assert (now.get("reasoning_content") or "") == (then.get("reasoning_content") or "")
    assert ("reasoning_details" in now) is is_signed
    assert after["choices"][0]["finish_reason"] == finish
    assert after["usage"]["completion_tokens"] == before["usage"]["completion_tokens"]


@given(st.none() | texts, st.none() | texts, calls, st.booleans())
def test_what_responses_say_survives_the_way_through_chat(
    thought: str | None, said: str | None, called: list[tuple[str, list[str]]], is_signed: bool
) -> None:
    """An answer's items are sent back as input, with outputs of its calls, and are the message that they came from."""
    message: dict[str, Any] = {"role": "assistant", "content": said}
    if thought:
        message["reasoning_content"] = thought
    if is_signed:
        message["reasoning_details"] = [{"type": "reasoning.encrypted", "data": "x", "id": "r", "format": "other"}]
    if called:
        message["tool_calls"] = [
            {"id": f"c{index}", "type": "function", "function": {"name": name, "arguments": "".join(arguments)}}
            for index, (name, arguments) in enumerate(called)
        ]
    response = json.loads(writer_of().whole(whole(message)))
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}
        for item in response["output"]
        if item["type"] == "function_call"
    ]
    body = json.dumps({"model": "m", "input": [*response["output"], *outputs]}).encode()
    dialect = Responses()
    messages = json.loads(bytes(dialect.read(body, dialect.head("", {}, body))["messages"]))
    is_empty = len(message) == 2 and said is None
    assert messages == ([] if is_empty else [message, *_tool_messages(len(called))])


def _tool_messages(count: int) -> list[dict[str, str]]:
    return [{"role": "tool", "tool_call_id": f"c{index}", "content": "done"} for index in range(count)]


def test_a_stream_and_a_whole_answer_say_the_same() -> None:
    message = {
        "reasoning_content": "Hm.",
        "content": "42",
        "tool_calls": [{"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    streamed = write(
        [piece(reasoning_content="Hm."), piece(content="42"), call_piece(0, "c0", "f", "{}"), piece("stop"), spent()]
    )
    assert streamed[-1]["type"] == "response.completed"
    assert streamed[-1]["response"] == json.loads(writer_of().whole(whole(message)))


# Oddities of servers


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135}, (32, 103, 135)),
        ({"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 20}}, (25, 1, 26)),
        ({"prompt_tokens": 5, "completion_tokens": 1}, (5, 1, 6)),
    ],
)
def test_usage_that_stands_beside_is_told_within(usage: Chunk, told: tuple[int, int, int]) -> None:
    said = write([piece(content="a"), piece("stop"), spent(usage)])[-1]["response"]["usage"]
    assert (said["input_tokens"], said["output_tokens"], said["total_tokens"]) == told


def test_of_usage_in_every_chunk_the_last_counts() -> None:
    chunks = [{**piece(content="a"), "usage": {"prompt_tokens": 5, "completion_tokens": n}} for n in (1, 2)]
    assert write([*chunks, piece("stop")])[-1]["response"]["usage"]["output_tokens"] == 2


def test_a_stream_without_a_finish_reason_is_not_completed() -> None:
    assert write([piece(content="Once")])[-1]["type"] == "response.incomplete"


def test_calls_with_one_index_are_told_apart_by_their_ids() -> None:
    """Gemini's OpenAI endpoint gives parallel calls the index 0."""
    events = write([call_piece(0, "a", "f", "{}"), call_piece(0, "b", "g", "{}"), piece("tool_calls")])
    assert [(item["call_id"], item["name"]) for item in events[-1]["response"]["output"]] == [("a", "f"), ("b", "g")]


def test_a_call_waits_for_its_name_and_gets_an_id() -> None:
    events = write([call_piece(0, None, None, '{"a"'), call_piece(0, None, "f", ":1}"), piece("tool_calls")])
    (item,) = events[-1]["response"]["output"]
    assert item["arguments"] == '{"a":1}'
    assert item["call_id"]


def test_mistrals_parts_are_read() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "42"}]
    thought, message = write([piece(content=parts), piece("stop")])[-1]["response"]["output"]
    assert thought["content"][0]["text"] == "Hm."
    assert message["content"][0]["text"] == "42"


def test_what_comes_after_the_finish_reason_is_told_too() -> None:
    events = write([piece(content="a"), piece("stop"), piece(content="b")])
    assert [item["content"][0]["text"] for item in events[-1]["response"]["output"]] == ["a", "b"]


def test_only_the_first_choice_is_told() -> None:
    other = {**piece(content="x"), "choices": [{"index": 1, "delta": {"content": "x"}}]}
    assert [item["content"][0]["text"] for item in write([other, piece(content="a")])[-1]["response"]["output"]] == [
        "a"
    ]


def test_the_first_text_goes_out_with_its_chunk() -> None:
    assert "response.output_text.delta" in [event["type"] for event in events_of(writer_of().feed(piece(content="a")))]


def test_openai_gets_the_callers_bytes() -> None:
    body = b'{ "model":"gpt-5", "input":"hi", "tools":[{"type":"web_search"}]}'
    provider = OpenAI()
    call = Call(Operation.RESPONSES, "gpt-5", {"model": _raw(b'"gpt-5"')}, is_stream=False, original=body)
    assert Operation.RESPONSES in provider.operations
    assert (provider.path(call), provider.encode(call)) == ("/responses", body)
    assert isinstance(provider.decoder(call), ResponsesDecoder)
    assert provider.decoder(replace(call, operation=Operation.CHAT)) is None


def _raw(value: bytes) -> Any:
    return msgspec.Raw(value)
