"""Answers that are kept and given again, through real workers."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from rondel.gateway.models import (
    Allowance,
    CacheScope,
    CacheSettings,
    GuardRule,
    Limits,
    OnFailure,
    PromptMessage,
)
from rondel.gateway.rules import raw
from rondel.spend.budgets.models import Window
from rondel.spend.models import ModelPrice
from tests.integration.gateway.asking import ASK, ask, streamed_text, text_of
from tests.integration.gateway.cached import OTHER, asked_of, hit_soon, start, told
from tests.integration.gateway.gateway import Gateway, connection, key, release, route, target
from tests.integration.gateway.upstream import Line, Seen, Upstream, chunk, completion, fail, say


def test_the_same_request_is_answered_without_the_model(gateway: Gateway, upstream: Upstream) -> None:
    start(gateway)
    first, second = ask(gateway, temperature=0.5), ask(gateway, temperature=0.5)
    assert (told(first), told(second)) == ("miss", "hit")
    assert text_of(second) == text_of(first) == "echo: hello there"
    assert asked_of(upstream) == 1
    assert "age" not in first.headers
    assert int(second.headers["age"]) <= 5
    one, other = first.json(), second.json()
    assert one.pop("id") != other.pop("id")
    assert one == other


def test_a_route_without_a_cache_tells_nothing_of_one(gateway: Gateway, upstream: Upstream) -> None:
    gateway.start()
    assert [told(ask(gateway)) for _ in range(2)] == ["", ""]
    assert asked_of(upstream) == 2
    assert gateway.record(2).cache == ""


def test_what_changes_an_answer_is_asked_anew(gateway: Gateway, upstream: Upstream) -> None:
    start(gateway)
    ask(gateway)
    tool = {"type": "function", "function": {"name": "f"}}
    bodies: list[dict[str, Any]] = [{"temperature": 0.1}, {"seed": 1}, {"tools": [tool]}, {"n": 2}, {"new": True}]
    for body in bodies:
        assert told(ask(gateway, **body)) == "miss", body
    assert told(ask(gateway, user="somebody else", metadata={"session": "s"})) == "hit"
    assert asked_of(upstream) == 6


@pytest.mark.parametrize(
    ("scope", "outcome"),
    [(CacheScope.KEY, "miss"), (CacheScope.TEAM, "miss"), (CacheScope.USER, "miss"), (CacheScope.PROJECT, "hit")],
)
def test_keys_see_the_answers_of_others_only_where_the_route_says_so(
    gateway: Gateway, upstream: Upstream, scope: CacheScope, outcome: str
) -> None:
    gateway.write(keys=(key(), key(OTHER, id="key_other")))
    start(gateway, scope=scope)
    ask(gateway)
    assert told(ask(gateway)) == "hit"
    assert told(ask(gateway, headers={"authorization": f"Bearer {OTHER}"})) == outcome
    assert asked_of(upstream) == (2 if outcome == "miss" else 1)


def test_a_team_shares_answers_and_no_other_team_gets_them(gateway: Gateway) -> None:
    third = "sk-rondel-third"
    gateway.write(
        keys=(
            key(team_id="one"),
            key(OTHER, id="key_other", team_id="one"),
            key(third, id="key_third", team_id="two"),
        )
    )
    start(gateway, scope=CacheScope.TEAM)
    ask(gateway)
    assert told(ask(gateway, headers={"authorization": f"Bearer {OTHER}"})) == "hit"
    assert told(ask(gateway, headers={"authorization": f"Bearer {third}"})) == "miss"


def test_projects_share_no_answer_even_on_routes_of_the_same_name(gateway: Gateway, upstream: Upstream) -> None:
    cache = CacheSettings(scope=CacheScope.PROJECT)
    gateway.write(
        keys=(key(), key(OTHER, id="key_other", project_id="prj2")),
        routes=(
            route("support", "live", cache=cache),
            msgspec.structs.replace(route("support", "live", cache=cache), project_id="prj2"),
        ),
    )
    gateway.start()
    ask(gateway)
    assert told(ask(gateway)) == "hit"
    assert told(ask(gateway, headers={"authorization": f"Bearer {OTHER}"})) == "miss"
    assert asked_of(upstream) == 2


def test_end_users_of_one_key_share_nothing_where_the_route_says_so(gateway: Gateway) -> None:
    start(gateway, scope=CacheScope.USER)
    ask(gateway, user="ann")
    assert told(ask(gateway, user="ann")) == "hit"
    assert told(ask(gateway, user="bob")) == "miss"


def test_a_kept_answer_is_streamed_to_the_official_client(gateway: Gateway, upstream: Upstream) -> None:
    start(gateway)
    client = gateway.client()
    text = client.chat.completions.create(model="support", messages=ASK).choices[0].message.content
    chunks = list(
        client.chat.completions.create(
            model="support", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )
    pieces = [each.choices[0].delta.content or "" for each in chunks if each.choices]
    assert "".join(pieces) == text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7
    assert len({each.id for each in chunks}) == 1
    assert asked_of(upstream) == 1
    record = gateway.record(2)
    assert record.cache == "hit"
    assert record.is_stream
    assert record.first_token_ns is not None
    assert record.started_ns <= record.first_token_ns <= record.ended_ns


def test_the_answer_of_a_stream_is_given_unstreamed(gateway: Gateway, upstream: Upstream) -> None:
    start(gateway)
    streamed = ask(gateway, stream=True)
    whole = ask(gateway)
    assert (told(streamed), told(whole)) == ("miss", "hit")
    assert text_of(whole) == streamed_text(streamed) == "echo: hello there"
    assert asked_of(upstream) == 1


def test_calls_of_tools_are_replayed(gateway: Gateway, upstream: Upstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}

    async def calling(seen: Seen, line: Line) -> None:  # noqa: ARG001  a behaviour's signature
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        await line.json(completion("", choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}]))

    upstream.on("up-1", calling)
    start(gateway)
    ask(gateway)
    with gateway.client().chat.completions.stream(model="support", messages=ASK) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert [(one.id, one.function.name, one.function.arguments) for one in calls] == [
        ("call_1", "weather", '{"city":"Oslo"}')
    ]
    assert final.choices[0].finish_reason == "tool_calls"
    assert asked_of(upstream) == 1


def test_embeddings_and_completions_are_kept_too(gateway: Gateway, upstream: Upstream) -> None:
    start(gateway)
    client = gateway.client()
    vectors = [client.embeddings.create(model="support", input="x").data[0].embedding for _ in range(2)]
    assert vectors == [[0.25, -0.5]] * 2
    texts = [client.completions.create(model="support", prompt="x").choices[0].text for _ in range(2)]
    assert texts == ["echo: x"] * 2
    streamed = client.completions.create(model="support", prompt="x", stream=True)
    assert "".join(each.choices[0].text for each in streamed) == "echo: x"
    assert asked_of(upstream) == 2


async def cut_short(seen: Seen, line: Line) -> None:
    """An answer at the limit of its tokens."""
    message = {"role": "assistant", "content": seen.prompt}
    await line.json(completion("", choices=[{"index": 0, "message": message, "finish_reason": "length"}]))


async def refused(seen: Seen, line: Line) -> None:  # noqa: ARG001  a behaviour's signature
    """A model that does not want to."""
    message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    await line.json(completion("", choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))


async def broken(seen: Seen, line: Line) -> None:
    """A stream without an end."""
    if not seen.json.get("stream"):
        await line.json(completion("whole"))
        return
    await line.begin()
    await line.event(chunk({"role": "assistant", "content": "hel"}))
    await line.finish(done=False)


@pytest.mark.parametrize("behaviour", [cut_short, refused, fail(400), fail(500)])
def test_only_a_good_and_whole_answer_is_kept(
    gateway: Gateway, upstream: Upstream, behaviour: Callable[..., Any]
) -> None:
    upstream.on("up-1", behaviour)
    start(gateway)
    assert [told(ask(gateway)) for _ in range(2)] == ["miss", "miss"]


def test_a_stream_that_broke_off_is_not_kept(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", broken)
    start(gateway)
    ask(gateway, stream=True)
    assert told(ask(gateway)) == "miss"


def test_answers_end_with_their_time(tmp_path: Path, upstream: Upstream) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    gateway = Gateway(tmp_path, module="tests.integration.gateway.turned")
    gateway.environ["RONDEL_TEST_CLOCK"] = str(clock)
    gateway.write(connections=(connection(upstream.port),), releases=(release("live", target()),))
    start(gateway, ttl_s=100)
    try:
        ask(gateway)
        clock.write_text("99")
        second = ask(gateway)
        assert (told(second), second.headers["age"]) == ("hit", "99")
        clock.write_text("101")
        assert told(ask(gateway)) == "miss"
        clock.write_text("-1000")
        assert told(ask(gateway)) == "miss", "the clock was set back to before the answer"
    finally:
        gateway.stop()


def test_another_release_never_answers_from_the_cache_of_the_one_before(gateway: Gateway, upstream: Upstream) -> None:
    start(gateway)
    ask(gateway)
    gateway.stop()
    changed = msgspec.structs.replace(release("live", target()), digest="digest-2")
    gateway.write(releases=(changed,))
    gateway.start()
    assert told(ask(gateway)) == "miss"
    assert told(ask(gateway)) == "hit"
    gateway.stop()
    gateway.write(releases=(release("live", target()),))
    gateway.start()
    assert told(ask(gateway)) == "hit", "back to what was live before, its answers count again"
    assert asked_of(upstream) == 2


def test_what_a_prompt_is_filled_with_is_part_of_the_question(gateway: Gateway, upstream: Upstream) -> None:
    prompt = (PromptMessage("system", "Answer in {{ language }}."), PromptMessage("user", "{{ input }}"))
    gateway.write(releases=(release("live", target(), messages=prompt),))
    start(gateway)
    for language, outcome in (("German", "miss"), ("French", "miss"), ("German", "hit")):
        assert told(ask(gateway, metadata={"language": language, "session": outcome})) == outcome
    assert asked_of(upstream) == 2


def test_an_answer_of_a_fallback_is_not_kept(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", fail(400 + 29))
    gateway.write(releases=(release("live", target()), release("spare", target("up-2"))))
    gateway.write(routes=(route("support", "live", cache=CacheSettings(), fallbacks=("rel_spare",)),))
    gateway.start()
    assert text_of(ask(gateway)) == "echo: hello there"
    assert told(ask(gateway)) == "miss"


def test_a_shadow_neither_reads_nor_fills_the_cache(gateway: Gateway) -> None:
    gateway.write(
        releases=(release("live", target()), release("next", target("up-2"))),
        routes=(route("support", "live", shadow="next", share=1.0, cache=CacheSettings()),),
    )
    gateway.start()
    ask(gateway)
    assert gateway.wait_for(lambda: len(gateway.records()) == 2)
    assert sorted(record.cache for record in gateway.records()) == ["", "miss"]


def test_what_a_guardrail_took_out_stays_out_of_every_replay(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say("write to ann@example.org today"))
    guard = GuardRule(check="pii", on_input=False, on_output=True)
    gateway.write(routes=(route("support", "live", cache=CacheSettings(), guardrails=(guard,)),))
    gateway.start()
    first, second, third = ask(gateway), ask(gateway), ask(gateway, stream=True)
    assert [told(each) for each in (first, second, third)] == ["miss", "hit", "hit"]
    assert "ann@example.org" not in first.text + second.text + third.text
    assert text_of(second) == text_of(first) == streamed_text(third)


def test_an_answer_that_a_guardrail_refused_is_not_kept(gateway: Gateway, upstream: Upstream) -> None:
    schema = raw({"type": "object"})
    guard = GuardRule(check="json_schema", options={"schema": schema}, on_failure=OnFailure.ERROR)
    gateway.write(routes=(route("support", "live", cache=CacheSettings(), guardrails=(guard,)),))
    gateway.start()
    assert [ask(gateway).status_code for _ in range(2)] == [422, 422]
    assert asked_of(upstream) == 2


def test_other_guardrails_are_another_question(gateway: Gateway) -> None:
    start(gateway)
    ask(gateway)
    gateway.stop()
    guard = GuardRule(check="pii")
    gateway.write(routes=(route("support", "live", cache=CacheSettings(), guardrails=(guard,)),))
    gateway.start()
    assert told(ask(gateway)) == "miss"


def test_callers_say_what_they_want_of_the_cache(gateway: Gateway, upstream: Upstream) -> None:
    start(gateway)
    missing = ask(gateway, headers={"x-rondel-cache": "only-if-cached"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (504, "not_cached")
    assert told(ask(gateway, headers={"x-rondel-cache": "no-store"})) == ""
    assert told(ask(gateway)) == "miss", "what was not to be stored was not"
    assert told(ask(gateway, headers={"x-rondel-cache": "only-if-cached"})) == "hit"
    upstream.on("up-1", say("another answer"))
    assert text_of(ask(gateway, headers={"cache-control": "no-cache"})) == "another answer"
    after = ask(gateway)
    assert (told(after), text_of(after)) == ("hit", "another answer"), "it stands in place of the old one"
    assert asked_of(upstream) == 3


PRICE = ModelPrice(version="t", input_nano=10**9, output_nano=10**9)
"""A dollar for a million tokens: 1,000 nano-USD for one."""


def test_a_kept_answer_costs_nothing_and_counts_as_one_request(gateway: Gateway, upstream: Upstream) -> None:
    limits = Limits(requests_per_minute=3, tokens_per_minute=1_000_000, budgets=(Allowance(Window.DAY, 10**12),))
    gateway.write(keys=(key(limits=limits),), releases=(release("live", target(price=PRICE)),))
    start(gateway)
    for _ in range(3):
        ask(gateway, max_tokens=10)
    assert ask(gateway, max_tokens=10).status_code == 429, "a kept answer is a request all the same"
    paid, *given, refused_one = gateway.records()[:4]
    assert paid.cost_nano
    assert paid.charged_nano == paid.cost_nano
    for record in given:
        assert (record.cache, record.cost_nano, record.charged_nano, record.tokens) == ("hit", 0, 0, None)
        assert record.attempts == ()
        assert record.status == 200
        assert record.answer_body
    assert refused_one.status == 429
    assert asked_of(upstream) == 1


def together(gateway: Gateway, count: int, **body: Any) -> list[httpx.Response]:
    """The same request `count` times at once."""
    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(ask, gateway, **body) for _ in range(count)]]


def test_the_same_requests_at_once_ask_the_model_once(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(releases=(release("live", target(price=PRICE)),))
    upstream.on("up-1", late(0.5))
    start(gateway)
    found = together(gateway, 8)
    assert sorted(map(told, found)) == ["joined"] * 7 + ["miss"]
    assert {text_of(each) for each in found} == {"late"}
    assert len({each.json()["id"] for each in found}) == 8
    assert asked_of(upstream) == 1
    assert gateway.wait_for(lambda: len(gateway.records()) == 8)
    assert sum(record.cost_nano or 0 for record in gateway.records()) == 27_000
    assert len({record.request_id for record in gateway.records()}) == 8


def late(seconds: float, text: str = "late") -> Callable[..., Any]:
    """An answer that comes after a while."""

    async def answer(seen: Seen, line: Line) -> None:
        await asyncio.sleep(seconds)
        await say(text)(seen, line)

    return answer


def test_those_who_wait_for_one_that_fails_go_by_themselves(gateway: Gateway, upstream: Upstream) -> None:
    first = threading.Event()

    async def once(seen: Seen, line: Line) -> None:
        if not first.is_set():
            first.set()
            await asyncio.sleep(0.4)
            await fail(400)(seen, line)
            return
        await say("good")(seen, line)

    upstream.on("up-1", once)
    start(gateway)
    found = together(gateway, 4)
    assert sorted(each.status_code for each in found) == [200, 200, 200, 400]
    assert {told(each) for each in found} == {"miss"}


def give_up_after(gateway: Gateway, seconds: float) -> None:
    with pytest.raises(httpx.TimeoutException):
        ask(gateway, timeout=seconds)


def test_a_caller_who_hangs_up_does_not_end_the_flight_of_the_others(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", late(1.0))
    start(gateway)
    with ThreadPoolExecutor(2) as pool:
        leaving = pool.submit(give_up_after, gateway, 0.4)
        time.sleep(0.2)
        staying = pool.submit(ask, gateway)
        leaving.result()
        assert text_of(staying.result()) == "late"
    assert told(staying.result()) == "joined"
    assert (asked_of(upstream), upstream.hang_ups) == (1, 0)
    assert gateway.wait_for(lambda: len(gateway.records()) == 2)
    given, gone = sorted(gateway.records(), key=lambda record: record.status)
    assert (gone.status, gone.error_type, gone.cache) == (499, "caller_gone", "miss")
    assert gone.tokens is not None, "what was used is told, and charged"
    assert (given.status, given.cache, given.cost_nano) == (200, "joined", 0)


def test_a_flight_ends_with_the_last_who_hangs_up(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", late(5.0))
    start(gateway)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(give_up_after, gateway, 0.4)
        time.sleep(0.1)
        pool.submit(give_up_after, gateway, 0.7).result()
        first.result()
    assert gateway.wait_for(lambda: upstream.hang_ups == 1, 2)
    assert {record.status for record in (gateway.record(2), *gateway.records())} == {499}
    upstream.on("up-1", say("fresh"))
    assert text_of(ask(gateway)) == "fresh"


def test_other_keys_do_not_join_a_flight(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(keys=(key(), key(OTHER, id="key_other")))
    upstream.on("up-1", late(0.5))
    start(gateway)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(ask, gateway)
        other = pool.submit(ask, gateway, headers={"authorization": f"Bearer {OTHER}"})
        assert [told(one.result()), told(other.result())] == ["miss", "miss"]
    assert asked_of(upstream) == 2


def test_workers_share_what_they_keep_and_nothing_is_lost_or_torn_by_kill_9(gateway: Gateway) -> None:
    start(gateway, "--worker", "0")
    other = Gateway(gateway.data, snapshot=gateway.snapshot)
    other.start("--worker", "1")
    try:
        ask(gateway)
        assert text_of(hit_soon(other)) == "echo: hello there"
        stop = threading.Event()

        def load() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    ask(gateway, seed=number)
                except httpx.HTTPError:
                    return

        loading = threading.Thread(target=load)
        loading.start()
        time.sleep(0.7)
        gateway.kill()
        stop.set()
        loading.join()
        assert told(ask(other, temperature=0.9)) == "miss", "the other one still writes"
        assert told(hit_soon(other, temperature=0.9)) == "hit"
        gateway.start("--worker", "0")
        assert told(ask(gateway)) == "hit"
        assert told(hit_soon(gateway, temperature=0.9)) == "hit"
        assert told(ask(gateway, temperature=0.8)) == "miss", "so does the new one"
        assert told(hit_soon(other, temperature=0.8)) == "hit"
    finally:
        other.stop()


def test_what_cannot_be_opened_keeps_no_request_from_its_answer(gateway: Gateway) -> None:
    (gateway.data / "run").mkdir(exist_ok=True)
    (gateway.data / "run" / "answers").write_text("not a folder")
    start(gateway)
    assert [text_of(ask(gateway)) for _ in range(2)] == ["echo: hello there"] * 2
    assert any("answers cannot be kept" in line for line in gateway.logs)
