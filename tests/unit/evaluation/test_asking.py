"""What a target is asked about an example."""

from collections.abc import Mapping

import pytest

from rondel.chat import Message, ToolCall
from rondel.datasets.models import Example
from rondel.errors import Invalid
from rondel.evaluation.asking import cache_key, request_for
from rondel.evaluation.models import Target

SYSTEM = Message("system", "Be short.")
ASK = Message("user", "Answer: {{ input }}")
CHAT = {
    "messages": [
        {"role": "system", "content": "Old prompt."},
        {"role": "user", "content": "Where is it?"},
        {"role": "assistant", "content": "Which order?"},
        {"role": "user", "content": [{"type": "text", "text": "MO1 "}, {"type": "text", "text": "please"}]},
    ]
}


def asked(input_: object, *messages: Message) -> list[tuple[str, str]]:
    request = request_for(Target("m", messages), Example("ex_1", input_))
    return [(message.role, message.content) for message in request.messages]


@pytest.mark.parametrize(
    ("input_", "prompt", "expected"),
    [
        ("hello", (), [("user", "hello")]),
        ({"a": 1}, (), [("user", '{"a":1}')]),
        ("hello", (SYSTEM,), [("system", "Be short."), ("user", "hello")]),
        ("hello", (SYSTEM, ASK), [("system", "Be short."), ("user", "Answer: hello")]),
        ({"a": 1}, (ASK,), [("user", 'Answer: {"a":1}')]),
        ({"a": 1}, (Message("user", "a is {{ a }}"),), [("user", "a is 1")]),
        ({"a": 1}, (SYSTEM,), [("system", "Be short."), ("user", '{"a":1}')]),
        (
            CHAT,
            (SYSTEM, ASK),
            [
                ("system", "Be short."),
                ("user", "Where is it?"),
                ("assistant", "Which order?"),
                ("user", "Answer: MO1 please"),
            ],
        ),
        (
            {"messages": [{"role": "user", "content": "hi"}], "customer": "Ada"},
            (Message("system", "You talk to {{ customer }}."),),
            [("system", "You talk to Ada."), ("user", "hi")],
        ),
    ],
)
def test_the_prompt_is_filled_or_stands_before_the_input(
    input_: object, prompt: tuple[Message, ...], expected: list[tuple[str, str]]
) -> None:
    assert asked(input_, *prompt) == expected


def test_tool_calls_of_a_chat_are_sent_as_they_were() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"order": 1}'}}
    turns = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "Ghent", "tool_call_id": "c1"},
    ]
    request = request_for(Target("m"), Example("ex_1", {"messages": turns}))
    assert request.messages[1] == Message("assistant", "", tool_calls=(ToolCall("c1", "find", '{"order": 1}'),))
    assert request.messages[2] == Message("tool", "Ghent", tool_call_id="c1")


@pytest.mark.parametrize(
    ("input_", "prompt", "says"),
    [
        ("hi", (Message("user", "{{ customer }} {{ input }}"),), "needs 'customer'"),
        ({"messages": "hi"}, (), "is not a list of messages"),
        ({"messages": []}, (), "is not a list of messages"),
        ({"messages": [{"content": "hi"}]}, (), "missing required field `role`"),
        ({"messages": [{"role": "usr", "content": "hi"}]}, (), "Did you mean 'user'?"),
        ({"messages": [{"role": "user", "content": 7}]}, (), "at `$.content`"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, (), "part of type 'image_url'"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, (ASK,), "the example's chat has none"),
    ],
)
def test_what_cannot_be_asked_is_said_in_words(input_: object, prompt: tuple[Message, ...], says: str) -> None:
    with pytest.raises(Invalid) as caught:
        asked(input_, *prompt)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (
            {"temperature": 0},
            {
                "temperature": 0,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                },
            },
        ),
        ({"response_format": {"type": "text"}}, {"response_format": {"type": "text"}}),
    ],
)
def test_a_response_schema_becomes_a_parameter_unless_one_is_given(
    parameters: Mapping[str, object], expected: Mapping[str, object]
) -> None:
    target = Target("m", parameters=parameters, response_schema={"type": "object"})
    assert request_for(target, Example("ex_1", "hi")).parameters == expected


def test_an_answer_is_found_again_only_for_the_same_request_to_what_cannot_change() -> None:
    def key(target: Target, input_: str) -> str:
        return cache_key(target, request_for(target, Example("ex_1", input_)))

    fixed = Target("m", revision="a")
    assert key(Target("m"), "hi") == ""
    assert key(fixed, "hi") == key(fixed, "hi") != ""
    others = {
        key(fixed, "ho"),
        key(Target("m", revision="b"), "hi"),
        key(Target("n", revision="a"), "hi"),
        key(Target("m", revision="a", parameters={"seed": 1}), "hi"),
        key(Target("m", (SYSTEM,), revision="a"), "hi"),
    }
    assert len(others | {key(fixed, "hi")}) == 6
