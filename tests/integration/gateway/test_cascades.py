"""A cascade through a real worker: the cheap model answers where that is good enough, the next one where it is not."""

from typing import Any

import httpx
import pytest

from rondel.gateway.models import GuardRule, OnFailure, Target
from rondel.gateway.routing import Cascade, Judge
from rondel.gateway.rules import raw
from rondel.spend.models import ModelPrice
from tests.integration.gateway.asking import ask, streamed_text, text_of
from tests.integration.gateway.gateway import Gateway, connection, key, release, route, target
from tests.integration.gateway.upstream import Line, Seen, Upstream, chunk, completion, fail, say

CHEAP, DEAR = ModelPrice(1_000_000_000, 2_000_000_000), ModelPrice(10_000_000_000, 20_000_000_000)
CHEAP_NANO, DEAR_NANO = 20 * 1000 + 7 * 2000, 20 * 10_000 + 7 * 20_000
"""Of the usage that the upstream tells: 20 tokens in (5 read from a cache, at the same price), 7 out."""


def _cascade(gateway: Gateway, cascade: Cascade, *more: Target, **settings: Any) -> None:
    targets = (target("cheap", price=CHEAP), *more, target("dear", price=DEAR))
    gateway.write(
        keys=(key(routes=("support",)),),
        releases=(release("live", *targets), release("judge", target("judge", price=CHEAP))),
        routes=(route("support", "live", cascade=cascade, **settings), route("judge", "judge")),
    )
    gateway.start()


@pytest.mark.parametrize("stream", [False, True])
def test_a_good_cheap_answer_is_the_callers(gateway: Gateway, upstream: Upstream, *, stream: bool) -> None:
    upstream.on("cheap", say("a fine answer"))
    _cascade(gateway, Cascade(shorter_than=5))
    answer = ask(gateway, stream=stream)
    assert (streamed_text(answer) if stream else text_of(answer)) == "a fine answer"
    record = gateway.record()
    assert [one.model for one in record.attempts] == ["cheap"]
    assert (record.cost_nano, record.charged_nano) == (CHEAP_NANO, CHEAP_NANO)


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_good_enough_is_asked_of_the_next_and_both_are_charged(
    gateway: Gateway, upstream: Upstream, *, stream: bool
) -> None:
    upstream.on("cheap", say("I don't know"))
    upstream.on("dear", say("It is in Leipzig"))
    _cascade(gateway, Cascade(pattern="I don't know"))
    answer = ask(gateway, stream=stream)
    assert (streamed_text(answer) if stream else text_of(answer)) == "It is in Leipzig"
    assert "know" not in answer.text
    record = gateway.record()
    assert [(one.model, one.error, one.cost_nano) for one in record.attempts] == [
        ("cheap", "was not good enough: it matches the pattern", CHEAP_NANO),
        ("dear", "", None),
    ]
    assert (record.cost_nano, record.charged_nano) == (DEAR_NANO, CHEAP_NANO + DEAR_NANO)
    assert record.is_stream is stream


def test_an_answer_without_an_end_of_its_own_escalates(gateway: Gateway, upstream: Upstream) -> None:
    async def cut(_: Seen, line: Line) -> None:
        body = completion("half an ans")
        body["choices"][0]["finish_reason"] = "length"
        await line.json(body)

    upstream.on("cheap", cut)
    _cascade(gateway, Cascade())
    assert text_of(ask(gateway)) == "echo: hello there"
    assert text_of(ask(gateway, response_format={"type": "text"})) == "echo: hello there"


def test_what_is_no_json_escalates_where_json_was_asked_for(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("cheap", say("Sure! {"))
    upstream.on("dear", say('{"city":"Leipzig"}'))
    _cascade(gateway, Cascade())
    assert text_of(ask(gateway)) == "Sure! {"
    assert text_of(ask(gateway, response_format={"type": "json_object"})) == '{"city":"Leipzig"}'


def test_what_a_guardrail_refuses_escalates_and_the_last_refusal_is_the_callers(
    gateway: Gateway, upstream: Upstream
) -> None:
    schema = {"type": "object", "required": ["city"]}
    rule = GuardRule(check="json_schema", options={"schema": raw(schema)}, on_failure=OnFailure.ERROR)
    upstream.on("cheap", say('{"town":1}'))
    upstream.on("dear", say('{"city":1}'))
    _cascade(gateway, Cascade(), guardrails=(rule,))
    assert text_of(ask(gateway)) == '{"city":1}'
    record = gateway.record()
    assert [verdict.action for verdict in record.guardrails] == ["refused", "none"]
    assert record.attempts[0].error == "was not good enough: a guardrail refused it"
    upstream.on("dear", say('{"town":2}'))
    assert ask(gateway).status_code == 422


def test_the_cheap_answer_is_given_when_nobody_gives_a_better_one(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("cheap", say("hm"))
    upstream.on("dear", fail(500))
    _cascade(gateway, Cascade(shorter_than=10))
    for stream in (False, True):
        answer = ask(gateway, stream=stream)
        assert (streamed_text(answer) if stream else text_of(answer)) == "hm"
    record = gateway.records()[0]
    assert [(one.model, one.error) for one in record.attempts] == [("dear", "answered with status 500"), ("cheap", "")]
    assert (record.status, record.cost_nano, record.charged_nano) == (200, CHEAP_NANO, CHEAP_NANO)


def test_a_failed_cheap_model_is_passed_over(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("cheap", fail(500))
    _cascade(gateway, Cascade(shorter_than=1000))
    assert text_of(ask(gateway)) == "echo: hello there"
    assert len(upstream.seen) == 2


def test_a_judge_decides_in_the_same_trace_with_its_own_record(gateway: Gateway, upstream: Upstream) -> None:
    async def judge(seen: Seen, line: Line) -> None:
        await line.json(completion("No." if "weak" in seen.prompt else "Yes."))

    upstream.on("judge", judge)
    upstream.on("cheap", say("a weak answer"))
    upstream.on("dear", say("a strong answer"))
    _cascade(gateway, Cascade(judge=Judge(route="judge", rubric="it is strong")))
    assert text_of(ask(gateway)) == "a strong answer"
    gateway.record(2)
    judged, record = sorted(gateway.records(), key=lambda one: one.route)
    assert (judged.route, judged.trace_id, judged.parent_span_id) == ("judge", record.trace_id, record.span_id)
    assert (judged.key_id, judged.charged_nano) == (record.key_id, CHEAP_NANO)
    assert record.attempts[0].why == "judge: no"
    assert record.charged_nano == CHEAP_NANO + DEAR_NANO, "the judge is charged by its own record"
    assert "it is strong" in upstream.seen[1].json["messages"][0]["content"]
    upstream.on("cheap", say("a good answer"))
    assert text_of(ask(gateway, stream=False)) == "a good answer"
    assert gateway.records()[-1].attempts[0].why == "judge: yes"


def test_a_judge_that_says_nothing_in_time_is_taken_to_agree(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("judge", say("no", begins_s=30))
    _cascade(gateway, Cascade(judge=Judge(route="judge", timeout_s=0.3)))
    assert text_of(ask(gateway, stream=False)) == "echo: hello there"
    assert {seen.json["model"] for seen in upstream.seen} == {"cheap", "judge"}
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)
    upstream.on("judge", fail(500))
    assert text_of(ask(gateway)) == "echo: hello there"


def test_a_caller_who_hangs_up_ends_the_judge_and_pays_for_what_came(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("judge", say("no", begins_s=30))
    _cascade(gateway, Cascade(judge=Judge(route="judge", timeout_s=25)))
    with pytest.raises(httpx.ReadTimeout):
        ask(gateway, timeout=1.0)
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)
    gateway.record(2)
    record = next(one for one in gateway.records() if one.route == "support")
    assert (record.status, record.charged_nano) == (499, CHEAP_NANO)


def test_three_steps_are_climbed_in_their_order(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("cheap", say("a"))
    upstream.on("middle", say("bb"))
    upstream.on("dear", say("ccc"))
    _cascade(gateway, Cascade(shorter_than=100), target("middle"))
    assert text_of(ask(gateway)) == "ccc", "the last one's answer is taken as it is"
    assert [seen.json["model"] for seen in upstream.seen] == ["cheap", "middle", "dear"]


async def _breaking(_seen: Seen, line: Line) -> None:
    await line.begin()
    await line.event(chunk({"content": "It is in Dres"}))
    line.writer.close()


def test_what_came_of_a_stream_that_broke_off_is_nobodys(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("cheap", _breaking)
    upstream.on("dear", say("It is in Leipzig"))
    _cascade(gateway, Cascade(pattern="I don't know"))
    assert streamed_text(ask(gateway, stream=True)) == "It is in Leipzig"


def test_a_judge_sees_what_guardrails_let_through(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("cheap", say("a fine answer"))
    upstream.on("judge", say("yes"))
    guards = (GuardRule(check="pii", on_input=True),)
    _cascade(gateway, Cascade(judge=Judge(route="judge")), guardrails=guards)
    ask(gateway, messages=[{"role": "user", "content": "I am bob@example.com"}])
    assert len(upstream.seen) == 2
    assert "bob@example.com" not in str([seen.body for seen in upstream.seen])


def test_a_next_target_that_cannot_be_asked_leaves_the_answer_at_hand(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("cheap", say("I don't know"))
    _cascade(gateway, Cascade(pattern="I don't know"))
    gateway.stop()
    there = [connection(upstream.port), connection(upstream.port, name="other", provider="gemini")]
    targets = (target("cheap", price=CHEAP), target("dear", name="other", price=DEAR))
    gateway.write(connections=tuple(there), releases=(release("live", *targets),))
    gateway.start()
    assert text_of(ask(gateway, logit_bias={"1": 5})) == "I don't know"
    assert gateway.record().charged_nano == CHEAP_NANO
