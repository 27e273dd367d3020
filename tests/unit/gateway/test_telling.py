"""A route's policy in words, and where in a request an error is."""

import pytest
from pydantic import ValidationError

from rondel.errors import Invalid, RondelError
from rondel.gateway.checking import check_route
from rondel.gateway.health import looked
from rondel.gateway.models import (
    CacheMode,
    CacheScope,
    CacheSettings,
    Capture,
    KeyPolicy,
    OnFailure,
    PlainTarget,
    RouteGuard,
)
from rondel.gateway.models import RouteSettings as Settings
from rondel.gateway.routing import Affinity, Cascade, Hedge, Judge, Policy, RouteRule, Weekday, When
from rondel.gateway.schemas import LimitsIn, RouteIn
from rondel.gateway.telling import policy_told, seconds_told

ONE = PlainTarget(connection="main", model="small")
TWO = PlainTarget(connection="main", model="big", weight=3)
REST = PlainTarget(connection="other", model="x", weight=0)


def said(settings: Settings, field: str) -> str:
    return next(clause.text for clause in policy_told(settings) if clause.field == field)


@pytest.mark.parametrize("policy", [one for one in Policy if one is not Policy.WEIGHTS])
def test_every_policy_has_words_of_its_own(policy: Policy) -> None:
    words = said(Settings(policy=policy), "policy")
    assert words not in {said(Settings(policy=other), "policy") for other in Policy if other is not policy}


def test_weights_are_told_as_shares_and_a_weight_of_nothing_as_standing_in() -> None:
    settings = Settings(policy=Policy.WEIGHTS, target=ONE, spares=(TWO, REST))
    assert said(settings, "policy") == ("One drawn by weight: main/small 25 %, main/big 75 %, other/x only stands in.")
    told = policy_told(settings, has_release=True)
    assert "main/small" not in next(clause.text for clause in told if clause.field == "policy")


def test_a_rule_is_told_with_everything_that_has_to_hold() -> None:
    when = When(
        headers={"x-tier": "gold*"},
        metadata={"plan": "free"},
        weekdays=(Weekday.MON, Weekday.FRI),
        hours="08:00-18:00",
        zone="Europe/Berlin",
        tokens_over=8000,
    )
    assert said(Settings(rules=(RouteRule(when=when, use="main/big"),)), "rules.0") == (
        "When header x-tier is gold*, metadata plan is free, it is 08:00 to 18:00 on Mon and Fri (Europe/Berlin) and "
        "the prompt has more than 8,000 tokens: main/big."
    )


def test_a_cascade_stands_in_the_place_of_the_policy_and_tells_what_escalates() -> None:
    cascade = Cascade(finish_reasons=("length",), is_no_json=False, pattern="no idea", judge=Judge(route="judge"))
    fields = [clause.field for clause in policy_told(Settings(cascade=cascade))]
    assert "policy" not in fields
    assert said(Settings(cascade=cascade), "cascade") == (
        "The first target answers; the next one is asked when it ends by length, a guardrail refuses it, it matches "
        "no idea or route judge, asked as a judge, finds it not good enough."
    )


def test_what_is_off_is_not_told() -> None:
    assert [clause.field for clause in policy_told(Settings())] == ["policy", "attempts", "capture"]


@pytest.mark.parametrize(
    ("settings", "field", "text"),
    [
        (Settings(affinity=Affinity.USER), "affinity", "A user stays with its target while that is well."),
        (Settings(hedge=Hedge()), "hedge", "after its 95th percentile."),
        (Settings(hedge=Hedge(after_s=0.8)), "hedge", "after 0.8 s."),
        (
            Settings(cache=CacheSettings()),
            "cache",
            "The very same request is answered again for 1 hour, within one key.",
        ),
        (
            Settings(cache=CacheSettings(mode=CacheMode.SEMANTIC, ttl_s=90, scope=CacheScope.PROJECT)),
            "cache",
            "(similarity 0.97 and more) is answered again for 90 s, within the project; 5 % of such hits",
        ),
        (
            Settings(guardrails=(RouteGuard(check="pii", on_input=True, on_failure=OnFailure.ERROR),)),
            "guardrails.0",
            "pii looks at the question and the answer; where it finds something, the answer is refused.",
        ),
        (Settings(capture=Capture.SAMPLE, capture_share=0.25), "capture", "Kept of 25 % of requests, up to 262,144"),
        (Settings(capture=Capture.NONE), "capture", "Kept of none."),
    ],
)
def test_each_setting_is_told(settings: Settings, field: str, text: str) -> None:
    assert text in said(settings, field)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (60, "1 minute"), (90, "90 s"), (7200, "2 hours"), (86_400, "1 day")]
)
def test_seconds_are_told_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert seconds_told(seconds) == text


def test_a_hit_that_was_checked_spared_no_call() -> None:
    found = looked({"": 9, "hit": 3, "semantic": 2, "joined": 1, "agreed": 1, "differed": 1, "miss": 4})
    assert found is not None
    assert found.share == 6 / 12
    assert found.outcomes[0] == ("hits", 3)
    assert looked({"": 9}) is None


@pytest.mark.parametrize(
    ("body", "param", "text"),
    [
        ({"cache": {"ttl_s": 0}}, "cache.ttl_s", "This takes a number of more than 0"),
        ({"cache": {"floor": 1.5}}, "cache.floor", "This takes a number of at most 1"),
        ({"timeouts": {"idle_s": -1}}, "timeouts.idle_s", "This takes a number of more than 0"),
        ({"spares": [{"connection": "a", "model": "b"}], "attempts": 0}, "attempts", "at least 1"),
        ({"hedge": {"after_s": 0}}, "hedge.after_s", "more than 0"),
        ({"cascade": {"judge": {"route": "x", "timeout_s": 999}}}, "cascade.judge.timeout_s", "at most 120"),
        ({"rules": [{"when": {"tokens_over": -1}, "use": "x"}]}, "rules.0.when.tokens_over", "at least 0"),
    ],
)
def test_a_figure_out_of_its_range_is_told_with_its_place(body: dict[str, object], param: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        RouteIn.model_validate(body).settings()
    assert caught.value.param == param
    assert text in caught.value.message


def test_a_word_that_is_none_is_refused_before() -> None:
    with pytest.raises(ValidationError):
        RouteIn.model_validate({"policy": "fast"})


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        (Settings(guardrails=(RouteGuard(check="pii"), RouteGuard(check="pi"))), "guardrails.1.check"),
        (Settings(guardrails=(RouteGuard(check="pii", options={"kinds": ["MAIL"]}),)), "guardrails.0.options"),
        (Settings(rules=(RouteRule(when=When(hours="8-18"), use="x"),)), "rules.0.when.hours"),
        (Settings(rules=(RouteRule(when=When(hours="08:00-18:00", zone="Berln"), use="x"),)), "rules.0.when.zone"),
        (Settings(rules=(RouteRule(when=When(headers={"cookie": "x"}), use="x"),)), "rules.0.when.headers"),
        (Settings(rules=(RouteRule(when=When(tokens_over=1), use=""),)), "rules.0.use"),
        (Settings(rules=(RouteRule(when=When(), use="x"),)), "rules.0"),
        (Settings(cascade=Cascade(pattern="(")), "cascade.pattern"),
        (Settings(cascade=Cascade(), hedge=Hedge()), "cascade"),
        (Settings(policy=Policy.WEIGHTS, target=REST), "policy"),
    ],
)
def test_what_no_request_could_go_by_is_refused_with_its_place(settings: Settings, param: str) -> None:
    with pytest.raises(RondelError) as caught:
        check_route("support", settings)
    assert caught.value.param == param


def test_limits_that_are_none_are_told_with_their_place() -> None:
    with pytest.raises(Invalid) as caught:
        LimitsIn.model_validate({"requests_per_minute": 0}).policy(KeyPolicy())
    assert caught.value.param == "requests_per_minute"
