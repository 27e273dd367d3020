"""A second target is asked beside a slow one: the first good head answers, the other is cut off, both are recorded."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from rondel.gateway.models import Target
from rondel.gateway.routing import Hedge, Policy
from tests.integration.gateway.asking import ask, streamed_text, text_of
from tests.integration.gateway.gateway import Gateway, release, route, target
from tests.integration.gateway.upstream import Line, Seen, Upstream, fail, say

SLOW_S = 6.0


def _hedged(gateway: Gateway, *targets: Target, after_s: float | None = 0.2, **settings: Any) -> None:
    """The route `support` over these targets."""
    hedge = Hedge(after_s=after_s)
    gateway.write(releases=(release("live", *targets),), routes=(route("support", "live", hedge=hedge, **settings),))
    gateway.start()


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_target_answers_for_a_slow_one_which_is_cut_off(
    gateway: Gateway, upstream: Upstream, *, stream: bool
) -> None:
    upstream.on("slow", say("slow", begins_s=SLOW_S))
    upstream.on("quick", say("quick words"))
    _hedged(gateway, target("slow"), target("quick"))
    begun = time.monotonic()
    answer = ask(gateway, stream=stream)
    assert (streamed_text(answer) if stream else text_of(answer)) == "quick words"
    assert time.monotonic() - begun < SLOW_S
    record = gateway.record()
    assert [(one.model, one.error[:10], one.why) for one in record.attempts] == [
        ("slow", "was slower", ""),
        ("quick", "", "hedge"),
    ]
    assert record.status == 200
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)


def test_the_first_target_still_wins_when_it_begins_before_the_second(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("first", say("first", begins_s=1.0))
    upstream.on("second", say("second", begins_s=SLOW_S))
    _hedged(gateway, target("first"), target("second"))
    assert text_of(ask(gateway)) == "first"
    record = gateway.record()
    assert [(one.model, one.error[:10]) for one in record.attempts] == [("second", "was slower"), ("first", "")]
    assert record.model_served == "up-1"
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)


def test_nothing_is_hedged_that_begins_in_time(gateway: Gateway, upstream: Upstream) -> None:
    _hedged(gateway, target("one"), target("two"), after_s=5.0)
    for _ in range(3):
        text_of(ask(gateway))
    assert {seen.json["model"] for seen in upstream.seen} == {"one"}


def test_the_other_goes_on_when_one_of_the_two_fails(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("slow", say("slow", begins_s=1.0))
    upstream.on("bad", fail(500))
    _hedged(gateway, target("slow"), target("bad"))
    assert text_of(ask(gateway)) == "slow"
    assert [one.status for one in gateway.record().attempts] == [500, 200]


def test_the_second_goes_on_when_the_first_fails_meanwhile(gateway: Gateway, upstream: Upstream) -> None:
    async def give_up(_: Seen, line: Line) -> None:
        await asyncio.sleep(0.6)
        line.writer.close()

    upstream.on("first", give_up)
    upstream.on("second", say("second", begins_s=1.5))
    _hedged(gateway, target("first"), target("second"))
    assert text_of(ask(gateway)) == "second"
    assert len(upstream.seen) == 2
    attempts = gateway.record().attempts
    assert [one.model for one in attempts] == ["first", "second"]
    assert "closed the connection" in attempts[0].error


def test_a_500_of_a_second_try_rests_nobody(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("slow", say("slow", begins_s=0.4))
    upstream.on("bad", fail(500))
    _hedged(gateway, target("slow"), target("bad"), after_s=0.1)
    assert [text_of(ask(gateway)) for _ in range(7)] == ["slow"] * 7
    assert [seen.json["model"] for seen in upstream.seen].count("bad") == 7


def test_a_hedge_is_one_of_the_retries_that_there_may_be(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("slow", say("slow", begins_s=0.25))
    upstream.on("slower", say("slower", begins_s=2.0))
    _hedged(gateway, target("slow"), target("slower"), after_s=0.05)
    for _ in range(20):
        assert text_of(ask(gateway)) == "slow"
    assert sum(seen.json["model"] == "slower" for seen in upstream.seen) <= 10 + 20 * 0.2


def test_the_percentile_that_a_target_has_shown_is_the_time(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("one", say("one"))
    _hedged(gateway, target("one"), target("two"), after_s=None, policy=Policy.ORDER)
    for _ in range(24):
        text_of(ask(gateway))
    upstream.on("one", say("one", begins_s=SLOW_S))
    begun = time.monotonic()
    assert text_of(ask(gateway)) == "echo: hello there"
    assert time.monotonic() - begun < SLOW_S


def test_a_caller_who_hangs_up_ends_both(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("a", say("a", begins_s=30))
    upstream.on("b", say("b", begins_s=30))
    _hedged(gateway, target("a"), target("b"), after_s=0.1)
    with pytest.raises(httpx.ReadTimeout):
        ask(gateway, timeout=1.5)
    assert upstream.wait_for(lambda: upstream.hang_ups == 2)
    assert [one.model for one in gateway.record().attempts] == ["b", "a"]


def test_a_shadow_is_never_hedged(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("copy", say("copy", begins_s=0.6))
    gateway.write(
        releases=(release("live", target()), release("copy", target("copy"), target("other"))),
        routes=(route("support", "live", shadow="copy", share=1.0, hedge=Hedge(after_s=0.1)),),
    )
    gateway.start()
    text_of(ask(gateway))
    gateway.record(2)
    assert sorted(seen.json["model"] for seen in upstream.seen) == ["copy", "up-1"]
