"""Answers to requests of the same meaning, through real workers."""

from typing import Any

import httpx
import pytest

from rondel.gateway.models import CacheMode, CacheSettings
from tests.integration.gateway.asking import ask, streamed_text, text_of
from tests.integration.gateway.cached import OTHER, hit_soon, start, told
from tests.integration.gateway.gateway import Gateway, key, route
from tests.integration.gateway.upstream import Upstream, say


def semantic(*, floor: float = 0.85, check_share: float = 0.0) -> CacheSettings:
    """Settings whose hits are never checked, unless it is said."""
    return CacheSettings(mode=CacheMode.SEMANTIC, floor=floor, check_share=check_share)


def user(text: str) -> list[dict[str, str]]:
    """One turn of a user."""
    return [{"role": "user", "content": text}]


QUESTION = user("How do I reset the password of my account?")
ANSWER = "echo: How do I reset the password of my account?"
NEAR = user("how do i reset the password of my account, please")


def test_a_request_of_the_same_meaning_is_answered_without_the_model(gateway: Gateway) -> None:
    start(gateway, cache=semantic())
    ready(gateway)
    assert told(ask(gateway, messages=QUESTION)) == "miss"
    second = ask(gateway, messages=NEAR)
    assert (told(second), text_of(second)) == ("semantic", ANSWER)
    assert told(ask(gateway, messages=user("Where is the nearest branch of your bank?"))) == "miss"
    streamed = ask(gateway, messages=NEAR, stream=True)
    assert (told(streamed), streamed_text(streamed)) == ("semantic", ANSWER)
    assert gateway.wait_for(lambda: [one.cache for one in gateway.records()][-2:] == ["miss", "semantic"])
    assert gateway.records()[-1].cost_nano == 0


def ready(gateway: Gateway) -> None:
    """Wait until what knows meanings is loaded: until then near requests are misses."""
    number = [0]

    def is_near() -> bool:
        number[0] += 1
        ask(gateway, messages=user(f"is it loaded {number[0]}"))
        return told(ask(gateway, messages=user(f"is it loaded {number[0]} ?"))) == "semantic"

    assert gateway.wait_for(is_near, 20)


def test_no_semantic_answer_crosses_from_one_key_to_another(gateway: Gateway) -> None:
    gateway.write(keys=(key(), key(OTHER, id="key_other")))
    start(gateway, cache=semantic(floor=0.5))
    ready(gateway)
    theirs = {"authorization": f"Bearer {OTHER}"}
    secret = user("The password of my account is hunter, remember it")
    ask(gateway, messages=secret)
    near = user("the password of my account is hunter remember it")
    only = {**theirs, "x-rondel-cache": "only-if-cached"}
    assert ask(gateway, messages=near, headers=only).status_code == 504
    answer = ask(gateway, messages=near, headers=theirs)
    assert (told(answer), text_of(answer)) == ("miss", f"echo: {near[0]['content']}")
    assert told(ask(gateway, messages=near)) == "semantic", "who asked it first gets it"


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [{"role": "system", "content": "Be rude."}, *NEAR]},
        {"messages": [*user("Earlier"), {"role": "assistant", "content": "Yes?"}, *NEAR]},
        {"messages": NEAR, "temperature": 0.3},
        {"messages": user("How do I not reset the password of my account?")},
        {"messages": user("How do I reset the password of my account 2?")},
    ],
)
def test_all_but_the_words_of_the_question_has_to_be_equal(gateway: Gateway, other: dict[str, Any]) -> None:
    start(gateway, cache=semantic(floor=0.5))
    ready(gateway)
    ask(gateway, messages=QUESTION)
    assert told(ask(gateway, messages=NEAR)) == "semantic"
    assert told(ask(gateway, **other)) == "miss"


def test_workers_find_what_others_have_learned(gateway: Gateway) -> None:
    start(gateway, "--worker", "0", cache=semantic())
    other = Gateway(gateway.data, snapshot=gateway.snapshot)
    other.start("--worker", "1")
    try:
        ready(gateway)
        ready(other)
        ask(gateway, messages=QUESTION)
        assert told(hit_soon(other, messages=NEAR)) == "semantic"
    finally:
        other.stop()


def test_a_share_of_semantic_hits_is_checked_against_the_model(gateway: Gateway, upstream: Upstream) -> None:
    start(gateway, cache=semantic())
    ready(gateway)
    ask(gateway, messages=QUESTION)
    gateway.stop()
    gateway.write(routes=(route("support", "live", cache=semantic(check_share=1.0)),))
    upstream.on("up-1", say(ANSWER))
    gateway.start()

    def checked(outcome: str, text: str) -> bool:
        ask(gateway, messages=user(text))
        return gateway.wait_for(lambda: gateway.records()[-1].cache == outcome, 0.5)

    same = (f"how do i reset my account password{'.' * count}" for count in range(100))
    assert gateway.wait_for(lambda: checked("agreed", next(same)), 20)
    upstream.on("up-1", say("Ask your bank about that, please."))
    assert checked("differed", "how do i reset my account password!")
    metrics = httpx.get(f"http://127.0.0.1:{gateway.port}/metrics").text
    lines = [line for line in metrics.splitlines() if line.startswith("rondel_gateway_cache_total")]
    assert any('route="support"' in line and 'outcome="differed"' in line and line.endswith(" 1") for line in lines)
    assert any('outcome="agreed"' in line for line in lines)
