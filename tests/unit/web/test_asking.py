"""A stream as the playground tells it."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest

from rondel.web.asking import Telling, event
from rondel.web.playground import written


def ticks() -> Iterator[float]:
    return (value / 10 for value in count())


def telling() -> Telling:
    clock = ticks()
    return Telling(lambda: next(clock))


def said(text: str) -> tuple[str, dict[str, object]]:
    name, data, *_ = text.split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def all_said(*lines: str) -> list[tuple[str, dict[str, object]]]:
    one = telling()
    found = [said(told) for line in lines for told in one.line(line)]
    return [*found, said(one.ended())] if not one.has_failed else found


def chunk(**delta: object) -> str:
    return "data: " + json.dumps({"choices": [{"delta": delta}]})


STOP = 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}'
USAGE = 'data: {"choices": [], "usage": {"prompt_tokens": 21, "completion_tokens": 9}}'


def test_text_comes_as_it_is_and_the_first_piece_is_timed() -> None:
    told = all_said(
        chunk(role="assistant"), chunk(content="Hé"), "", chunk(content="y\n\n"), STOP, USAGE, "data: [DONE]"
    )
    assert [name for name, _ in told] == ["text", "text", "ended"]
    assert told[0][1] == {"text": "Hé", "first_ms": 100.0}
    assert told[1][1] == {"text": "y\n\n"}
    assert told[2][1] == {"finish": "stop", "tokens_in": 21, "tokens_out": 9, "total_ms": 200.0}


def test_an_answer_without_usage_has_no_invented_tokens() -> None:
    assert all_said(chunk(content="a"), STOP)[-1][1]["tokens_out"] is None


def test_an_answer_that_breaks_off_has_failed() -> None:
    assert all_said(chunk(content="a"))[-1] == (
        "failed",
        {"message": "The answer broke off.", "status": 0, "total_ms": 200.0},
    )
    told = all_said(chunk(content="a"), 'data: {"error": {"message": "The provider hung up."}}')
    assert told[-1][0] == "failed"
    assert told[-1][1]["message"] == "The provider hung up."


def test_calls_of_tools_reasoning_and_refusals_are_shown() -> None:
    call = {"function": {"name": "get_order", "arguments": '{"id"'}}
    told = all_said(
        chunk(reasoning_content="hm"),
        chunk(tool_calls=[call]),
        chunk(tool_calls=[{"function": {"arguments": ": 1}"}}]),
        STOP,
    )
    assert [(name, body.get("text")) for name, body in told[:-1]] == [
        ("reasoning", "hm"),
        ("text", 'get_order {"id"'),
        ("text", ": 1}"),
    ]


def test_what_is_no_chunk_is_said_and_ends_the_column() -> None:
    assert all_said("data: {")[-1][0] == "failed"
    assert all_said('data: {"choices": 3}')[-1][0] == "failed"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "x"}', b'{"detail": 1}'])
def test_an_error_that_is_none_of_ours_is_told_by_its_status(body: bytes) -> None:
    assert said(telling().refused(502, body))[1]["message"] == "The gateway answered with status 502."


def test_an_event_is_two_lines_whatever_it_holds() -> None:
    assert event("text", text="a\n\nevent: x\r") == 'event: text\ndata: {"text": "a\\n\\nevent: x\\r"}\n\n'


def test_free_text_is_what_the_system_says_unless_it_takes_the_input() -> None:
    assert [m.role for m in written("Be brief.")] == ["system"]
    assert [m.role for m in written("Say {{ input }} in French.")] == ["user"]
    assert written(" \n") == ()


@dataclass
class FakeReply:
    """A reply held in memory."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])

    async def lines(self) -> AsyncIterator[str]:
        """None."""
        for line in ():
            yield line

    async def whole(self) -> bytes:
        """Nothing."""
        return b""


def test_the_trace_and_the_release_are_told_first() -> None:
    reply = FakeReply(headers={"x-rondel-trace-id": "c" * 32, "x-rondel-release": "rel_1"})
    assert said(telling().begun(reply)) == ("begun", {"trace": "c" * 32, "release": "rel_1"})
