"""Which recorded answers stand for asking again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rondel.chat import Message
from rondel.datasets.models import Example
from rondel.errors import Invalid
from rondel.evaluation.models import Target
from rondel.evaluation.recorded import TRACES_AT_ONCE, check_recorded, recorded
from rondel.storage.models import Scope
from rondel.telemetry.models import Span, SpanKind, SpanMessage, Status, Tokens, Trace, TraceFilter, TraceRow

SCOPE = Scope("prj", "production")
RELEASE = "rel_1"
AT = datetime(2026, 1, 1, tzinfo=UTC)
TRACE = "a" * 32


GATEWAY = Span(
    TRACE,
    "b" * 16,
    "",
    "chat",
    SpanKind.GATEWAY,
    AT,
    AT + timedelta(milliseconds=250),
    release_id=RELEASE,
    messages_in=(SpanMessage("system", "Be short."), SpanMessage("user", "Where is it?")),
    output_text="delivery",
    response_id="cc_1",
    tokens=Tokens(input_uncached=7, cache_read=2, output_text=3),
)
CALL = Span(
    TRACE,
    "c" * 16,
    GATEWAY.span_id,
    "chat",
    SpanKind.LLM,
    AT,
    AT + timedelta(milliseconds=240),
    release_id=RELEASE,
    parameters={"temperature": 0, "max_tokens": 80},
)
EXAMPLE = Example("ex_1", "Where is it?", "delivery", trace_id=TRACE)


def trace(*spans: Span) -> Trace:
    return Trace(TraceRow(TRACE, AT, "chat", Status.OK, 1.0), spans, ())


def found(example: Example, *spans: Span) -> bool:
    return example.id in recorded(lambda _scope, _asked: iter([trace(*spans)]), SCOPE, RELEASE, [example])


def test_an_answer_of_this_release_at_temperature_0_to_this_input_is_taken_as_it_was() -> None:
    answers = recorded(lambda _scope, _asked: iter([trace(GATEWAY, CALL)]), SCOPE, RELEASE, [EXAMPLE])
    answer = answers[EXAMPLE.id]
    assert (answer.output, answer.response_id, answer.trace_id) == ("delivery", "cc_1", TRACE)
    assert (answer.latency_ms, answer.input_tokens, answer.output_tokens) == (250.0, 9, 3)
    assert answer.cached


@pytest.mark.parametrize(
    ("why", "spans"),
    [
        ("one draw of many", (GATEWAY, replace(CALL, parameters={"temperature": 0.7}))),
        ("a temperature that nobody set", (GATEWAY, replace(CALL, parameters={"max_tokens": 80}))),
        ("another release", (replace(GATEWAY, release_id="rel_2"), replace(CALL, release_id="rel_2"))),
        ("a failure", (replace(GATEWAY, status=Status.ERROR), CALL)),
        ("nothing was recorded", (replace(GATEWAY, output_text=""), CALL)),
        ("two calls", (GATEWAY, CALL, CALL)),
        ("no call", (GATEWAY,)),
        ("another input", (replace(GATEWAY, messages_in=(SpanMessage("user", "Where was it?"),)), CALL)),
    ],
)
def test_any_other_is_asked_for_again(why: str, spans: tuple[Span, ...]) -> None:
    assert not found(EXAMPLE, *spans), why


def test_a_shadow_s_call_beside_does_not_count() -> None:
    assert found(EXAMPLE, GATEWAY, CALL, replace(CALL, arm="shadow", parameters={"temperature": 1}))


def test_examples_without_a_trace_are_not_looked_for_and_many_are_looked_for_in_parts() -> None:
    asked: list[TraceFilter] = []

    def walk(_scope: Scope, chosen: TraceFilter) -> "list[Trace]":
        asked.append(chosen)
        return []

    many = [Example(f"ex_{n}", "x", "y", trace_id=f"{n:032x}") for n in range(TRACES_AT_ONCE + 1)]
    assert not recorded(
        lambda scope, chosen: iter(walk(scope, chosen)), SCOPE, RELEASE, [*many, Example("e", "x", "y")]
    )
    assert [len(one.trace_ids) for one in asked] == [TRACES_AT_ONCE, 1]
    assert {one.releases for one in asked} == {(RELEASE,)}


def test_a_trace_that_was_not_asked_for_by_this_very_id_is_passed_over() -> None:
    written = replace(EXAMPLE, trace_id=TRACE.upper())
    assert not found(written, GATEWAY, CALL)


def test_a_route_has_no_recorded_answers_of_its_own() -> None:
    with pytest.raises(Invalid, match=r"give its id \(rel_…\), not 'support'"):
        check_recorded(Target("support", recorded=True))


@pytest.mark.parametrize(
    "target",
    [
        Target(RELEASE, recorded=True, prompt="support@1"),
        Target(RELEASE, recorded=True, messages=(Message("user", "x"),)),
        Target(RELEASE, recorded=True, parameters={"top_p": 1}),
        Target(RELEASE, recorded=True, response_schema={"type": "object"}),
    ],
)
def test_another_prompt_or_parameters_have_no_recorded_answers(target: Target) -> None:
    check_recorded(Target(RELEASE, recorded=True))
    with pytest.raises(Invalid, match="leave out the prompt"):
        check_recorded(target)
