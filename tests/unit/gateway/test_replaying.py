"""A kept answer as a stream."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.dataplane.folding import fold
from rondel.gateway.dialects.events import DONE_EVENT, data_of, whole_events
from rondel.gateway.models import Operation
from rondel.gateway.replaying import PIECE, replay

TEXTS = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=40) | st.integers(1, 3).map(
    lambda count: "word " * 300 * count
)


def call(number: int, text: str) -> dict[str, object]:
    """A call of a tool."""
    return {"id": f"call_{number}", "type": "function", "function": {"name": "f", "arguments": text}}


def message(content: str | None, reasoning: str | None, calls: list[tuple[int, str]], *, is_noted: bool) -> Any:
    """A message of an answer, with what it has."""
    rest: dict[str, object] = {"reasoning_content": reasoning} if reasoning is not None else {}
    if calls:
        rest["tool_calls"] = [call(number, text) for number, text in calls]
    if is_noted:
        rest["annotations"] = [{"type": "x"}]
    return {"role": "assistant", "content": content, **rest}


CALLS = st.lists(st.tuples(st.integers(0, 9), TEXTS), max_size=3)
MESSAGES: st.SearchStrategy[Any] = st.builds(
    message, st.none() | TEXTS, st.none() | TEXTS, CALLS, is_noted=st.booleans()
)


def chats(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole chat answer with these choices."""
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": "stop"}
        for index, message in enumerate(messages)
    ]
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}


def folded(events: bytes, operation: Operation) -> Any:
    """The answer of a stream, folded as that of an upstream is."""
    found = fold(map(data_of, whole_events(events)), operation)
    assert found.is_done
    assert not found.damaged
    return msgspec.json.decode(found.body)


@given(st.lists(MESSAGES, min_size=1, max_size=3))
def test_a_replayed_chat_folds_to_the_answer_it_was_made_of(messages: list[dict[str, Any]]) -> None:
    answer = chats(messages)
    assert folded(replay(msgspec.json.encode(answer), Operation.CHAT, wants_usage=False), Operation.CHAT) == answer


@given(TEXTS)
def test_a_replayed_completion_folds_to_the_answer_it_was_made_of(text: str) -> None:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
    answer = {"id": "cmpl-1", "object": "text_completion", "choices": [choice]}
    events = replay(msgspec.json.encode(answer), Operation.COMPLETION, wants_usage=False)
    assert folded(events, Operation.COMPLETION) == answer


@pytest.mark.parametrize("wants_usage", [True, False])
def test_the_usage_is_told_where_it_is_wanted(wants_usage: bool) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    body = msgspec.json.encode({**chats([{"role": "assistant", "content": "a"}]), "usage": usage})
    events = replay(body, Operation.CHAT, wants_usage=wants_usage)
    assert events.count(b'"usage"') == int(wants_usage)
    assert events.endswith(DONE_EVENT)


def test_a_stream_begins_with_the_role_and_a_long_text_comes_in_pieces() -> None:
    body = msgspec.json.encode(chats([{"role": "assistant", "content": "x" * (2 * PIECE + 1)}]))
    events = [
        msgspec.json.decode(data)
        for event in whole_events(replay(body, Operation.CHAT, wants_usage=False))
        if (data := data_of(event)) != b"[DONE]"
    ]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [len(event["choices"][0]["delta"].get("content", "")) for event in events] == [0, PIECE, PIECE, 1, 0]
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * 4 + ["stop"]


def test_probabilities_stand_in_a_replay_once() -> None:
    answer = chats([{"role": "assistant", "content": "x" * (2 * PIECE)}])
    answer["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": -0.5}]}
    events = replay(msgspec.json.encode(answer), Operation.CHAT, wants_usage=False)
    assert folded(events, Operation.CHAT) == answer
