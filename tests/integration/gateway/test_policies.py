"""Policies of routes through a real worker: who is asked first, who stays with whom, who may rest."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rondel.gateway.models import GuardRule, Target
from rondel.gateway.routing import Affinity, Policy, Ruled, Weekday, When
from rondel.gateway.rules import raw
from rondel.spend.models import ModelPrice
from tests.integration.gateway.asking import ask, text_of
from tests.integration.gateway.gateway import Gateway, key, release, route, target
from tests.integration.gateway.upstream import Upstream, fail, say


def _with(gateway: Gateway, *targets: Target, **settings: Any) -> None:
    """The route `support` over these targets."""
    gateway.write(releases=(release("live", *targets),), routes=(route("support", "live", **settings),))
    gateway.start()


def _models(upstream: Upstream) -> Counter[str]:
    return Counter(seen.json["model"] for seen in upstream.seen)


def test_weights_share_the_requests(gateway: Gateway, upstream: Upstream) -> None:
    targets = (target("one", weight=1.0), target("three", weight=3.0), target("none", weight=0.0))
    _with(gateway, *targets, policy=Policy.WEIGHTS)
    for _ in range(200):
        text_of(ask(gateway))
    found = _models(upstream)
    assert found["none"] == 0
    assert 115 < found["three"] < 185  # 150 and five and a half standard deviations
    assert gateway.record(200).attempts[0].why == "weights"


def test_who_fails_is_passed_over_by_every_policy(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("bad", fail(500))
    targets = (target("bad"), target("good"))
    for number, policy in enumerate(Policy):
        gateway.write(releases=(release("live", *targets),), routes=(route("support", "live", policy=policy),))
        gateway.start()
        for _ in range(3):
            assert text_of(ask(gateway)) == "echo: hello there"
        gateway.stop()
        assert len(gateway.records()) == 3 * (number + 1)


def test_the_least_busy_is_asked(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("a", say("slow", begins_s=0.5))
    upstream.on("b", say("slow", begins_s=0.5))
    _with(gateway, target("a"), target("b"), policy=Policy.LEAST_BUSY)
    with ThreadPoolExecutor(8) as pool:
        for asked in [pool.submit(ask, gateway) for _ in range(8)]:
            text_of(asked.result())
    assert _models(upstream) == {"a": 4, "b": 4}


def test_the_fastest_gets_nearly_everything_until_it_fails(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("slow", say("slow", begins_s=1.0))
    _with(gateway, target("slow"), target("quick"), policy=Policy.FASTEST)
    for _ in range(20):
        text_of(ask(gateway))
    assert _models(upstream)["slow"] <= 2, "one request finds out that it is slow"
    upstream.on("quick", fail(500))
    assert text_of(ask(gateway)) == "slow"
    seen = _models(upstream)["quick"]
    assert text_of(ask(gateway)) == "slow", "one failure is enough to prefer the other for a while"
    assert _models(upstream)["quick"] == seen


def test_the_cheapest_is_asked_for_the_request_at_hand(gateway: Gateway, upstream: Upstream) -> None:
    """What is cheap to read may be dear to write."""
    reads, writes = ModelPrice(100, 9_000_000_000), ModelPrice(3_000_000_000, 100)
    _with(
        gateway,
        target("unknown"),
        target("reads", price=reads),
        target("writes", price=writes),
        policy=Policy.CHEAPEST,
    )
    ask(gateway, max_tokens=1, messages=[{"role": "user", "content": "long " * 500}])
    ask(gateway, max_tokens=4000)
    assert [seen.json["model"] for seen in upstream.seen] == ["reads", "writes"]


def test_a_session_stays_with_its_target_and_moves_when_that_is_gone(gateway: Gateway, upstream: Upstream) -> None:
    names = ["a", "b", "c"]
    _with(gateway, *map(target, names), policy=Policy.WEIGHTS, affinity=Affinity.SESSION)

    sessions = [f"s-{number}" for number in range(30)]
    before = _homes(gateway, upstream, sessions)
    assert before == _homes(gateway, upstream, sessions)
    assert set(before.values()) == set(names)
    upstream.on("b", fail(500))
    for _ in range(20):  # until it rests
        ask(gateway, headers={"x-rondel-session": next(one for one, home in before.items() if home == "b")})
    moved = _homes(gateway, upstream, sessions)
    assert all(moved[session] == home for session, home in before.items() if home != "b")
    assert gateway.records()[0].attempts[0].why == "affinity: session"


def _homes(gateway: Gateway, upstream: Upstream, sessions: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for session in sessions:
        text_of(ask(gateway, headers={"x-rondel-session": session}))
        found[session] = upstream.seen[-1].json["model"]
    return found


def test_of_two_that_fail_one_is_asked_on(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("a", fail(500))
    upstream.on("b", fail(500))
    _with(gateway, target("a"), target("b"), attempts=2)
    for _ in range(6):
        assert ask(gateway).status_code == 500
    asked = len(upstream.seen)
    assert ask(gateway).status_code == 500, "not 503: more than half of them must not rest"
    assert len(upstream.seen) > asked
    upstream.on("a", say("well again"))
    upstream.on("b", say("well again"))
    assert text_of(ask(gateway)) == "well again"


def test_rules_go_before_releases(gateway: Gateway, upstream: Upstream) -> None:
    everyday = tuple(Weekday)
    rules = (
        Ruled(when=When(headers={"x-tier": "gold*"}), release_id="rel_gold"),
        Ruled(when=When(metadata={"plan": "free"}), route="cheap"),
        Ruled(when=When(tokens_over=1000, weekdays=everyday), release_id="rel_long"),
        Ruled(when=When(hours="00:00-24:00", headers={"x-always": "1"}), release_id="rel_gone"),
    )
    gateway.write(
        releases=tuple(release(name, target(name)) for name in ("live", "gold", "cheap", "long")),
        routes=(route("support", "live", rules=rules), route("cheap", "cheap")),
    )
    gateway.start()
    ask(gateway)
    ask(gateway, headers={"X-Tier": "gold-plus"})
    ask(gateway, metadata={"plan": "free"})
    ask(gateway, messages=[{"role": "user", "content": "long " * 2000}])
    ask(gateway, headers={"x-tier": "silver"})
    assert [seen.json["model"] for seen in upstream.seen] == ["live", "gold", "cheap", "long", "live"]
    answer = ask(gateway, headers={"x-always": "1"})
    assert answer.status_code == 503
    assert "A rule of route 'support' leads to 'rel_gone'" in answer.json()["error"]["message"]
    assert [record.route for record in gateway.records()][:5] == ["support", "support", "cheap", "support", "support"]


def test_a_keys_guardrails_are_joined_to_the_routes(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say("write to ada@example.com or call +1 202 555 0147"))
    mail = GuardRule(check="pii", options={"kinds": raw(["EMAIL"])})
    phone = GuardRule(check="pii", options={"kinds": raw(["PHONE"])})
    keys = (key("sk-plain"), key("sk-guarded", guardrails=(phone, mail)))
    gateway.write(keys=keys, routes=(route("support", "live", guardrails=(mail,)),))
    gateway.start()
    plain, guarded = (
        text_of(ask(gateway, headers={"authorization": f"Bearer {one}"})) for one in ("sk-plain", "sk-guarded")
    )
    assert "ada@" not in plain
    assert "555" in plain
    assert "ada@" not in guarded
    assert "555" not in guarded
    assert [len(record.guardrails) for record in gateway.records()] == [1, 2]
    direct = text_of(ask(gateway, model="up/up-1", headers={"authorization": "Bearer sk-guarded"}))
    assert "555" not in direct, "a key's guardrails hold without a route too"


def test_a_key_whose_guardrail_cannot_run_gets_no_answer(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(keys=(key(guardrails=(GuardRule(check="nowhere"),)),))
    gateway.start()
    answer = ask(gateway)
    assert answer.status_code == 503
    assert "nowhere" in answer.json()["error"]["message"]
    assert not upstream.seen
