"""Requests and answers of callers' dialects as messages."""

import json

from rondel.chat import ToolCall
from rondel.spend.models import ModelPrice
from rondel.spend.ports import OwnPrices
from rondel.telemetry.models import Cost, SpanMessage, Tokens
from rondel.telemetry.records import Attempt, GatewayRecord, TokenCounts
from rondel.telemetry.spool.mapping import spans_of

ASKED = {
    "model": "support",
    "instructions": "Be kind.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "x"}]},
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
    ],
    "tools": [{"type": "function", "name": "look"}, {"type": "web_search"}],
}
ANSWERED = {
    "object": "response",
    "status": "completed",
    "output": [
        {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "So."}]},
        {"type": "web_search_call", "id": "ws"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A cat."}]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "***"},
    ],
}


def _record(**more: object) -> GatewayRecord:
    fields: dict[str, object] = {
        "request_id": "r",
        "trace_id": "t" * 32,
        "span_id": "s" * 16,
        "project_id": "p",
        "environment": "e",
        "started_ns": 1,
        "ended_ns": 2,
        "operation": "responses",
        "provider": "openai",
        "model_served": "m",
        "attempts": (Attempt("c", "openai", "m", "", 1, 2),),
        **more,
    }
    return GatewayRecord(**fields)  # pyright: ignore[reportArgumentType]  as they are said above


def test_a_request_to_the_responses_api_is_read_as_messages() -> None:
    record = _record(request_body=json.dumps(ASKED).encode(), answer_body=json.dumps(ANSWERED).encode())
    root, attempt = spans_of(record, OwnPrices({}))
    assert root.messages_in == (
        SpanMessage("system", "Be kind."),
        SpanMessage("user", "see\n[input_image]"),
        SpanMessage("assistant", "", reasoning="Hm."),
        SpanMessage("assistant", "", tool_calls=(ToolCall("c1", "look", "{}"),)),
        SpanMessage("tool", "a cat", tool_call_id="c1"),
    )
    assert root.messages_out == (
        SpanMessage(
            "assistant",
            "[web_search_call]\n\nA cat.",
            reasoning="So.",
            tool_calls=(ToolCall("c2", "patch", "***"),),
            finish_reason="completed",
        ),
    )
    assert attempt.tools_offered == ("look", "web_search")
    assert root.parameters == {}


def test_a_text_alone_is_the_users() -> None:
    (root, _) = spans_of(_record(request_body=b'{"input":"hi","instructions":null}'), OwnPrices({}))
    assert root.messages_in == (SpanMessage("user", "hi"),)


def test_embeddings_of_texts_are_no_items() -> None:
    record = _record(request_body=b'{"input":["a","b"]}', operation="embeddings")
    assert spans_of(record, OwnPrices({}))[0].messages_in == (SpanMessage("user", "a"), SpanMessage("user", "b"))


def test_every_bucket_the_service_and_the_reported_cost_come_into_the_span() -> None:
    tokens = TokenCounts(1, 2, 3, 4, 5, 6, 7, 8, cache_write_1h=9, audio_cached=10, image_cached=11, image_out=12)
    batch = ModelPrice(1_000_000, 1_000_000, version="b")
    price = ModelPrice(2_000_000, 2_000_000, version="o", services=(("batch", batch),))
    record = _record(tokens=tokens, service_tier="batch", usage=b'{"cost":0.5}')
    root = spans_of(record, OwnPrices({("openai", "m"): price}))[0]
    assert root.tokens == Tokens(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0)
    assert (root.service_tier, root.cost) == ("batch", Cost(500_000_000, 78, "o"))


def test_guessed_tokens_have_no_cost() -> None:
    record = _record(tokens=TokenCounts(100, output_text=50, estimated=True))
    root = spans_of(record, OwnPrices({("openai", "m"): ModelPrice(1, 1)}))[0]
    assert root.tokens is not None
    assert root.cost == Cost()


def test_what_an_upstream_said_that_was_no_answer_is_shown_in_the_trace_alone() -> None:
    record = _record(answer_body=b"<html>\xff secret", error_type="upstream_failed", status=502)
    root = spans_of(record, OwnPrices({}))[0]
    assert root.messages_out == ()
    assert root.attributes["upstream.excerpt"] == "<html>� secret"


def test_an_answer_that_was_not_good_enough_has_its_tokens_and_cost_at_its_attempt() -> None:
    cheap = Attempt("c", "openai", "s", "", 1, 2, None, 200, "was not good enough", "judge: no", TokenCounts(5), 70)
    guessed = Attempt("c", "openai", "s", "", 1, 2, tokens=TokenCounts(5, estimated=True), cost_nano=70)
    last = Attempt("c", "openai", "m", "", 2, 3)
    record = _record(attempts=(cheap, guessed, last), tokens=TokenCounts(9), cost_nano=900, price_version="v")
    root, *attempts = spans_of(record, OwnPrices({}))
    assert [span.cost.computed_nano for span in attempts] == [70, None, 900]
    assert [span.tokens.input_uncached if span.tokens else 0 for span in attempts] == [5, 5, 9]
    assert attempts[0].attributes["why"] == "judge: no"
    assert root.cost.computed_nano == 900
