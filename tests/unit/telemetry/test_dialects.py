"""Each generation of the GenAI conventions and OpenInference become the same canonical span."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from rondel.chat import ToolCall
from rondel.clock import to_ns
from rondel.spend.ports import OwnPrices
from rondel.telemetry.models import Entry, Span, SpanKind, SpanMessage, Status, Tokens
from rondel.telemetry.otlp.decode import RawEvent, RawSpan
from rondel.telemetry.otlp.mapping import canonical, fault_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
AT = to_ns(NOW)

ASKED = (SpanMessage("system", "Be kind."), SpanMessage("user", "Order 7?"))
CALL = ToolCall("call_1", "get_order", '{"id":7}')


def raw(
    attributes: dict[str, object], events: tuple[tuple[str, dict[str, object]], ...] = (), **values: object
) -> RawSpan:
    fields: dict[str, object] = {
        "trace_id": "1" * 32,
        "span_id": "2" * 16,
        "parent_id": "",
        "name": "chat",
        "start_ns": AT,
        "end_ns": AT + 1_000_000,
        "attributes": attributes,
        "events": tuple(RawEvent(name, AT, said) for name, said in events),
        "resource": {"service.name": "shop"},
        "library": "tests",
        "is_error": False,
        "status_message": "",
        "has_remote_parent": False,
    }
    return RawSpan(**{**fields, **values})  # pyright: ignore[reportArgumentType]  any field may be given


def mapped(
    attributes: dict[str, object], events: tuple[tuple[str, dict[str, object]], ...] = (), **values: object
) -> Span:
    return canonical(raw(attributes, events, **values), OwnPrices({}))


FIRST = mapped(
    {
        "gen_ai.system": "openai",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "gen_ai.usage.prompt_tokens": 100,
        "gen_ai.usage.completion_tokens": 20,
    },
    (
        ("gen_ai.system.message", {"content": "Be kind."}),
        ("gen_ai.user.message", {"content": "Order 7?"}),
        (
            "gen_ai.choice",
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": json.dumps(
                    {
                        "content": "Let me look.",
                        "tool_calls": [{"id": "call_1", "function": {"name": "get_order", "arguments": '{"id":7}'}}],
                    }
                ),
            },
        ),
    ),
)

_PARTS_IN: list[object] = [{"role": "user", "parts": [{"type": "text", "content": "Order 7?"}]}]
_PARTS_OUT: list[object] = [
    {
        "role": "assistant",
        "parts": [
            {"type": "text", "content": "Let me look."},
            {"type": "tool_call", "id": "call_1", "name": "get_order", "arguments": {"id": 7}},
        ],
        "finish_reason": "tool_calls",
    }
]
_COMMON: dict[str, object] = {
    "gen_ai.provider.name": "openai",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}
_SYSTEM: list[object] = [{"type": "text", "content": "Be kind."}]

SECOND = mapped(
    _COMMON,
    (
        (
            "gen_ai.client.inference.operation.details",
            {
                "gen_ai.system_instructions": _SYSTEM,
                "gen_ai.input.messages": _PARTS_IN,
                "gen_ai.output.messages": _PARTS_OUT,
            },
        ),
    ),
)
THIRD = mapped(
    _COMMON
    | {
        "gen_ai.system_instructions": json.dumps(_SYSTEM),
        "gen_ai.input.messages": json.dumps(_PARTS_IN),
        "gen_ai.output.messages": json.dumps(_PARTS_OUT),
    }
)
OPENINFERENCE = mapped(
    {
        "openinference.span.kind": "LLM",
        "llm.provider": "openai",
        "llm.model_name": "gpt-4o-2024",
        "llm.invocation_parameters": '{"model": "gpt-4o"}',
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Be kind.",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.contents.0.message_content.type": "text",
        "llm.input_messages.1.message.contents.0.message_content.text": "Order 7?",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Let me look.",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "call_1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "get_order",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"id":7}',
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 20,
        "llm.token_count.total": 120,
    }
)


@pytest.mark.parametrize(
    "span", [FIRST, SECOND, THIRD, OPENINFERENCE], ids=["<=1.36", "1.37-1.41", "now", "openinference"]
)
def test_one_call_in_every_dialect(span: Span) -> None:
    assert (span.kind, span.provider, span.model_requested, span.model) == (
        SpanKind.LLM,
        "openai",
        "gpt-4o",
        "gpt-4o-2024",
    )
    assert span.tokens == Tokens(input_uncached=100, output_text=20)
    assert span.messages_in == ASKED
    (answer,) = span.messages_out
    assert (answer.role, answer.text, answer.tool_calls) == ("assistant", "Let me look.", (CALL,))
    assert (span.input_text, span.output_text) == ("Order 7?", "Let me look.")
    assert span.cost.nano is None


@pytest.mark.parametrize("said", ["response", "result"])
def test_a_tools_answer_is_a_message_of_its_own(said: str) -> None:
    """The specification writes `response` and shows `result` in its examples."""
    parts = [{"type": "tool_call_response", "id": "call_1", said: {"state": "lost"}}]
    span = mapped(_COMMON | {"gen_ai.input.messages": json.dumps([{"role": "tool", "parts": parts}])})
    assert span.messages_in == (SpanMessage("tool", '{"state":"lost"}', tool_call_id="call_1"),)


def test_retrieval_and_tools() -> None:
    found = mapped(
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": "lithium",
            "retrieval.documents.1.document.content": "second",
            "retrieval.documents.0.document.content": "first",
            "retrieval.documents.0.document.id": "d1",
            "retrieval.documents.0.document.score": 0.9,
        }
    )
    assert (found.kind, found.input_text) == (SpanKind.RETRIEVER, "lithium")
    assert [(one.id, one.text, one.score) for one in found.documents] == [("d1", "first", 0.9), ("", "second", None)]
    tool = mapped(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "find",
            "gen_ai.tool.call.id": "call_1",
            "gen_ai.tool.call.result": {"found": True},
        }
    ).tool
    assert tool is not None
    assert (tool.name, tool.call_id, tool.result) == ("find", "call_1", '{"found":true}')


def test_a_span_of_no_dialect_is_kept_as_it_is() -> None:
    span = mapped({"http.route": "/x", "session.id": "s1"}, parent_id="3" * 16)
    assert (span.kind, span.dialect, span.session, span.entry) == (SpanKind.SPAN, "otel", "s1", Entry.INNER)
    assert span.attributes == {
        "http.route": "/x",
        "session.id": "s1",
        "resource.service.name": "shop",
        "otel.library": "tests",
    }


def test_a_parent_elsewhere_begins_a_trace_here() -> None:
    assert mapped({}, parent_id="3" * 16, has_remote_parent=True).entry is Entry.REMOTE


def test_errors() -> None:
    span = mapped(
        {"error.type": "timeout"},
        (
            (
                "exception",
                {"exception.type": "TimeoutError", "exception.message": "late", "exception.stacktrace": "at line 1"},
            ),
        ),
        is_error=True,
    )
    assert span.status is Status.ERROR
    assert span.error is not None
    assert (span.error.type, span.error.message, span.error.stack) == ("timeout", "late", "at line 1")


def test_a_reported_cost_of_nothing_is_known() -> None:
    assert mapped({"llm.cost.total": 0.0, "llm.model_name": "x"}).cost.reported_nano == 0
    assert mapped({"gen_ai.usage.cost": "0.002"}).cost.reported_nano == 2_000_000
    assert mapped({"gen_ai.usage.cost": -1}).cost.reported_nano is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"trace_id": "0" * 32}, "trace id"),
        ({"trace_id": "1" * 31}, "trace id"),
        ({"span_id": "zz" * 8}, "span id"),
        ({"parent_id": "12"}, "parent's span id"),
        ({"start_ns": 0}, "more than 5 years"),
        ({"start_ns": 2**63}, "more than 5 years"),
        ({"start_ns": AT + 3 * 86_400 * 10**9}, "in the future"),
        ({"parent_id": "0" * 16}, ""),
        ({"end_ns": 0}, ""),
    ],
)
def test_a_span_that_cannot_be_kept_is_told_why(values: dict[str, Any], sentence: str) -> None:
    found = fault_of(raw({}, **values), NOW)
    assert (sentence in found) if sentence else found == ""


def test_an_end_before_the_start_is_the_start() -> None:
    span = mapped({}, end_ns=AT - 5)
    assert span.duration_ms == 0
