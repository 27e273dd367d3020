"""Which answers of a cascade are good enough, and what a judge is asked."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.escalating import (
    LOOKED_AT,
    Given,
    escalates,
    judge_request,
    parse_verdict,
    question_of,
    text_given,
    wants_json,
)
from rondel.gateway.routing import Cascade
from rondel.gateway.rules import parse_head, raw

NOTHING: dict[str, msgspec.Raw] = {}


@pytest.mark.parametrize(
    ("cascade", "answer", "says"),
    [
        (Cascade(), Given("stop", "yes", wants_json=False), ""),
        (Cascade(), Given("length", "yes", wants_json=False), "it ended with length"),
        (Cascade(), Given("content_filter", None, wants_json=False), "it ended with content_filter"),
        (Cascade(finish_reasons=()), Given("length", "yes", wants_json=False), ""),
        (Cascade(), Given("stop", "", wants_json=False, refusal="PII"), "a guardrail refused it"),
        (Cascade(is_refused=False), Given("length", "", wants_json=False, refusal="PII"), ""),
        (Cascade(shorter_than=4), Given("stop", " yes\n", wants_json=False), "it is shorter than 4 characters"),
        (Cascade(shorter_than=3), Given("stop", " yes\n", wants_json=False), ""),
        (
            Cascade(pattern="(?i)i don.t know"),
            Given("stop", "Well, I don't know.", wants_json=False),
            "it matches the pattern",
        ),
        (Cascade(pattern="know"), Given("stop", "x" * LOOKED_AT + "know", wants_json=False), ""),
        (Cascade(), Given("stop", "not { json", wants_json=True), "it is not JSON"),
        (Cascade(), Given("stop", '{"a": 1}', wants_json=True), ""),
        (Cascade(is_no_json=False), Given("stop", "no", wants_json=True), ""),
        (Cascade(shorter_than=9, pattern=".*"), Given("tool_calls", None, wants_json=True), ""),
    ],
)
def test_an_answer_escalates_for_what_the_route_names(cascade: Cascade, answer: Given, says: str) -> None:
    assert escalates(cascade, answer) == says


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"choices":[{"message":{"role":"assistant","content":"hi"}}]}', "hi"),
        (b'{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}', "ab"),
        (b'{"choices":[{"message":{"content":null}}]}', ""),
        (b'{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1"}]}}]}', None),
        (b'{"choices":[{"message":{"content":"x","tool_calls":[]}}]}', "x"),
        (b'{"choices":[{"text":"old"}]}', "old"),
        (b'{"choices":[]}', None),
        (b'{"object":"list"}', None),
        (b"garbage", None),
    ],
)
def test_the_text_of_an_answer(body: bytes, text: str | None) -> None:
    assert text_given(body) == text


@pytest.mark.parametrize(
    ("sources", "wants"),
    [
        ([NOTHING], False),
        ([{"response_format": raw({"type": "json_object"})}], True),
        ([{"response_format": raw({"type": "json_schema", "json_schema": {}})}], True),
        ([{"response_format": raw({"type": "text"})}, {"response_format": raw({"type": "json_object"})}], False),
        ([NOTHING, {"response_format": raw({"type": "json_object"})}], True),
        ([{"response_format": raw("json")}], False),
    ],
)
def test_the_release_and_then_the_caller_say_whether_json_is_wanted(
    sources: list[dict[str, msgspec.Raw]], *, wants: bool
) -> None:
    assert wants_json(*sources) is wants


@given(st.text(), st.text(), st.text())
def test_a_question_to_a_judge_holds_both_texts_as_data_alone(rubric: str, question: str, answer: str) -> None:
    body = judge_request("judge", rubric, question, answer)
    head, told = parse_head(body), json.loads(body)
    assert (head.model, head.is_stream) == ("judge", False)
    assert [message["role"] for message in told["messages"]] == ["system", "user"]
    assert json.loads(told["messages"][1]["content"]) == {"question": question, "answer": answer}


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("yes", True),
        ("Yes.", True),
        (" **No**, it", False),
        ("no", False),
        ("nothing", None),
        ("", None),
        ("I'd say yes", None),
    ],
)
def test_a_verdict_is_the_first_word(text: str, *, is_good: bool | None) -> None:
    assert parse_verdict(text) is is_good


def test_the_question_is_the_last_user_message() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert question_of({"messages": raw(turns)}) == "c"
    assert question_of({"prompt": raw("x")}) == ""
