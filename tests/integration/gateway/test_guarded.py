"""Guardrails in the plane: streams, whole answers, input, and what is kept."""

import json

import pytest

from rondel.gateway.models import Allowance, GuardRule, OnFailure
from rondel.spend.budgets.models import Window
from rondel.spend.models import ModelPrice
from tests.integration.gateway.asking import ask, events_of, streamed_text, text_of
from tests.integration.gateway.gateway import Gateway, parameters, release, route, target, with_limits
from tests.integration.gateway.upstream import Behaviour, Line, Seen, Upstream, chunk, completion, fail, say

SECRET_TEXT = "Write to jane.doe@example.org or pay with 4111 1111 1111 1111, thanks."
CLEAN_TEXT = "Write to <EMAIL> or pay with <CARD>, thanks."
PII = GuardRule(check="pii")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def _json_guard(on_failure: OnFailure) -> GuardRule:
    return GuardRule(check="json_schema", options=parameters(schema=SCHEMA), on_failure=on_failure)


def _cut(text: str, size: int) -> Behaviour:
    async def answer(_seen: Seen, line: Line) -> None:
        await line.begin()
        await line.event(chunk({"role": "assistant", "content": ""}))
        for at in range(0, len(text), size):
            piece = {"content": text[at : at + size]}
            await line.event({**chunk(piece), "choices": [{"index": 1, "delta": piece, "finish_reason": None}]})
            event = chunk(piece)
            event["choices"][0]["logprobs"] = {"content": [{"token": text[at : at + size]}]}
            await line.event(event)
            arguments = [{"index": 0, "function": {"arguments": text[at : at + size]}}]
            await line.event(chunk({"tool_calls": arguments}))
        await line.event(chunk({}, "stop"))
        await line.event(chunk({}, "stop", 1))
        await line.finish()

    return answer


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_a_stream_is_redacted_exactly_however_it_is_cut(gateway: Gateway, upstream: Upstream, size: int) -> None:
    upstream.on("up-1", _cut(SECRET_TEXT, size))
    gateway.write(releases=(release("live", target(), guardrails=(PII,)),))
    gateway.start()
    answer = ask(gateway, stream=True)
    assert streamed_text(answer) == CLEAN_TEXT
    assert streamed_text(answer, 1) == CLEAN_TEXT
    calls = [
        call["function"]["arguments"]
        for event in events_of(answer)
        for choice in event["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]
    assert "".join(calls) == CLEAN_TEXT
    if size > 4:
        assert "jane" not in answer.text
        assert "1111" not in answer.text
    record = gateway.record()
    assert b"jane" not in record.answer_body
    assert record.guardrails[0].found == {"EMAIL": 3, "CARD": 3}
    assert record.guardrails[0].action == "redacted"


def test_a_whole_answer_is_redacted(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say(SECRET_TEXT))
    gateway.write(routes=(route("support", "live", guardrails=(PII,)),))
    gateway.start()
    assert text_of(ask(gateway)) == CLEAN_TEXT
    assert b"jane" not in gateway.record().answer_body


def test_input_is_redacted_before_it_goes_up_and_before_it_is_kept(gateway: Gateway, upstream: Upstream) -> None:
    rule = GuardRule(check="pii", on_input=True, on_output=False)
    gateway.write(releases=(release("live", target(), guardrails=(rule,)),))
    gateway.start()
    ask(gateway, messages=[{"role": "user", "content": SECRET_TEXT}], x_kept=1.5)
    assert upstream.seen[0].prompt == CLEAN_TEXT
    assert upstream.seen[0].json["x_kept"] == 1.5
    record = gateway.record()
    assert b"jane" not in record.request_body
    assert record.guardrails[0].where == "input"


def test_an_answer_that_breaks_the_schema_passes_with_a_verdict(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say('{"a": "text"}'))
    gateway.write(releases=(release("live", target(), guardrails=(_json_guard(OnFailure.PASS),)),))
    gateway.start()
    assert text_of(ask(gateway)) == '{"a": "text"}'
    verdict = gateway.record().guardrails[0]
    assert (verdict.ok, verdict.action) == (False, "noted")
    assert verdict.detail == "At a the schema's rule 'type' is broken."


def test_an_answer_that_breaks_the_schema_is_asked_for_again(gateway: Gateway, upstream: Upstream) -> None:
    async def answer(_seen: Seen, line: Line) -> None:
        await line.json(completion('{"a": 1}' if len(upstream.seen) > 1 else "no json"))

    upstream.on("up-1", answer)
    priced = target(price=ModelPrice(input_nano=0, output_nano=1_000_000_000))
    gateway.write(
        keys=(with_limits(budgets=(Allowance(Window.TOTAL, 10**9),)),),
        releases=(release("live", priced, guardrails=(_json_guard(OnFailure.RETRY),)),),
    )
    gateway.start()
    assert json.loads(text_of(ask(gateway))) == {"a": 1}
    assert len(upstream.seen) == 2
    record = gateway.record()
    assert record.cost_nano is not None
    assert (record.attempts[0].cost_nano, record.attempts[1].cost_nano) == (record.cost_nano, None)
    assert record.charged_nano == 2 * record.cost_nano, "what the guardrail refused was paid for"
    upstream.on("up-1", say("never json"))
    refused = ask(gateway)
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "guardrail_refused"
    record = gateway.record(2)
    assert record.cost_nano is not None
    assert record.charged_nano == len(record.attempts) * record.cost_nano


def test_a_refused_answer_is_paid_at_the_price_of_who_gave_it(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("first", say("no json"))
    upstream.on("second", fail(400))
    dear, cheap = (ModelPrice(input_nano=0, output_nano=nano) for nano in (1_000_000_000, 1_000))
    guardrails = (_json_guard(OnFailure.RETRY),)
    targets = (target("first", price=dear), target("second", price=cheap))
    gateway.write(
        releases=(release("live", *targets, guardrails=guardrails),), routes=(route("support", "live", attempts=2),)
    )
    gateway.start()
    assert ask(gateway).status_code == 422
    record = gateway.record()
    assert [attempt.model for attempt in record.attempts] == ["second", "first"]
    assert record.tokens is not None
    made = record.tokens.output_text + record.tokens.reasoning
    assert record.cost_nano == record.charged_nano == made * 1_000


def test_an_answer_that_breaks_the_schema_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say("no json"))
    gateway.write(releases=(release("live", target(), guardrails=(_json_guard(OnFailure.ERROR),)),))
    gateway.start()
    assert ask(gateway).status_code == 422
    assert len(upstream.seen) == 1
    stream = ask(gateway, stream=True)
    assert b'"stream_broken"' in stream.content
    assert b"[DONE]" not in stream.content


def test_no_answer_goes_out_when_a_guardrail_cannot_run(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(releases=(release("live", target(), guardrails=(GuardRule(check="pij"),)),))
    gateway.start()
    answer = ask(gateway)
    assert answer.status_code == 503
    assert "Did you mean 'pii'" in answer.json()["error"]["message"]
    assert not upstream.seen


@pytest.mark.parametrize("stream", [False, True])
def test_calls_of_every_kind_are_redacted(gateway: Gateway, upstream: Upstream, *, stream: bool) -> None:
    custom = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": SECRET_TEXT}}
    message = {"function_call": {"name": "f", "arguments": SECRET_TEXT}, "tool_calls": [custom]}

    async def answer(_seen: Seen, line: Line) -> None:
        if not stream:
            choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "tool_calls"}
            await line.json({**completion(""), "choices": [choice]})
            return
        await line.begin()
        await line.event(chunk(message))
        await line.event(chunk({}, "tool_calls"))
        await line.finish()

    upstream.on("up-1", answer)
    gateway.write(routes=(route("support", "live", guardrails=(PII,)),))
    gateway.start()
    told = ask(gateway, stream=stream).text
    assert "jane.doe" not in told
    assert "4111" not in told
    assert told.count("thanks.") == 2


def test_a_refusal_keeps_nothing_that_a_guardrail_would_have_taken_out(gateway: Gateway) -> None:
    guards = (GuardRule(check="pii", on_input=True),)
    keys = (with_limits(requests_per_minute=1),)
    gateway.write(routes=(route("support", "live", guardrails=guards),), keys=keys)
    gateway.start()
    asked = [{"role": "user", "content": SECRET_TEXT}]
    statuses = [ask(gateway, messages=asked).status_code for _ in range(2)]
    assert statuses == [200, 429]
    assert "jane.doe" not in str(gateway.record(2))
