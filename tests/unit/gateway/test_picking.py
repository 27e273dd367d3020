"""Who is asked first: weights, load, pace, price, affinity, who may rest, and the conditions of rules."""

import random
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.gateway.models import RouteSettings
from rondel.gateway.picking import (
    FAILED_S,
    LEAST_SEEN,
    UNSEEN,
    Pace,
    Traits,
    by_load,
    by_pace,
    by_price,
    cost,
    failed,
    hedge_after_s,
    holds,
    kept_callable,
    paced,
    parse_hours,
    race,
    unit_draws,
)
from rondel.gateway.routing import Weekday, When

NAMES = [f"con_{number}/m" for number in range(8)]


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=5), st.integers(0, 2**32))
def test_weights_are_met_within_what_chance_allows(weights: list[float], seed: int) -> None:
    chance, rounds = random.Random(seed), 2000
    firsts = Counter(race([chance.random() for _ in weights], weights)[0] for _ in range(rounds))
    for position, weight in enumerate(weights):
        share = weight / sum(weights)
        five_sigmas = 5 * (rounds * share * (1 - share)) ** 0.5
        assert abs(firsts[position] - rounds * share) <= five_sigmas + 1


def test_a_weight_of_zero_only_stands_in() -> None:
    chance = random.Random(1)
    for _ in range(200):
        assert race([chance.random(), chance.random(), 0.0], [1.0, 2.0, 0.0])[-1] == 2


def test_what_is_left_is_drawn_by_weight_too() -> None:
    chance = random.Random(2)
    orders = (race([chance.random() for _ in range(3)], [1.0, 3.0, 6.0]) for _ in range(6000))
    seconds = Counter(order[1] for order in orders if order[0] == 2)
    assert seconds[1] / seconds.total() == pytest.approx(0.75, abs=0.04)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=20, max_size=60, unique=True), st.integers(0, 7))
def test_only_the_units_of_a_target_that_went_away_move(units: list[str], gone: int) -> None:
    left = [name for position, name in enumerate(NAMES) if position != gone]
    for unit in units:
        before = NAMES[race(unit_draws("salt", unit, NAMES), [1.0] * len(NAMES))[0]]
        after = left[race(unit_draws("salt", unit, left), [1.0] * len(left))[0]]
        assert before == after or before == NAMES[gone]


@given(st.lists(st.floats(0.2, 5), min_size=8, max_size=8))
def test_units_spread_by_weight_and_stay_for_ever(weights: list[float]) -> None:
    def first(unit: int) -> int:
        return race(unit_draws("salt", str(unit), NAMES), weights)[0]

    found = Counter(map(first, range(2000)))
    for position, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(found[position] / 2000 - share) < 5 * (share * (1 - share) / 2000) ** 0.5 + 1e-3
    assert [first(unit) for unit in range(50)] == [first(unit) for unit in range(50)]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 2**32))
def test_the_least_busy_is_asked_and_ties_are_drawn(open_: list[int], seed: int) -> None:
    chance = random.Random(seed)
    order = by_load(open_, [chance.random() for _ in open_])
    assert [open_[position] for position in order] == sorted(open_)


def test_ties_of_load_go_to_everybody() -> None:
    chance = random.Random(3)
    firsts = Counter(by_load([0, 0, 0, 1], [chance.random() for _ in range(4)])[0] for _ in range(3000))
    assert set(firsts) == {0, 1, 2}
    assert min(firsts.values()) > 850


def test_the_cheapest_comes_first_and_the_unknown_last() -> None:
    assert by_price([None, 30, 10, 30, 0, None]) == [4, 2, 1, 3, 0, 5]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7), st.floats(0, 0.999999))
def test_two_choices_never_ask_the_slowest_of_three_or_more_first(costs: list[float], draw: float) -> None:
    order = by_pace(costs, draw)
    assert sorted(order) == list(range(len(costs)))
    worst = [position for position, one in enumerate(costs) if one == max(costs)]
    assert len(costs) == 1 or len(worst) > 1 or order[0] != worst[0]
    rest = [costs[position] for position in order[1:]]
    assert rest == sorted(rest)


def test_two_choices_draw_every_pair_alike() -> None:
    firsts = Counter(by_pace([3.0, 1.0, 2.0, 4.0], number / 12000)[0] for number in range(12000))
    assert [firsts[position] for position in (1, 2, 0, 3)] == [6000, 4000, 2000, 0]


# Pace


def test_a_longer_time_counts_at_once_and_shorter_ones_by_and_by() -> None:
    pace = paced(paced(UNSEEN, 0.1, 1.0), 2.0, 2.0)
    assert pace.peak_s == 2.0
    later = paced(pace, 0.1, 3.0)
    assert 1.5 < later.peak_s < 2.0
    for moment in range(4, 60):
        later = paced(later, 0.1, float(moment))
    assert later.peak_s == pytest.approx(0.1, rel=0.1)


@given(st.floats(0.001, 10), st.floats(0.001, 10), st.integers(0, 20))
def test_the_faster_of_two_costs_less_at_the_same_load(fast: float, slow: float, open_: int) -> None:
    fast, slow = sorted((fast, slow))
    costs = [cost(paced(UNSEEN, took, 5.0), open_, 6.0) for took in (slow, fast)]
    assert costs[1] <= costs[0]
    assert cost(paced(UNSEEN, slow, 5.0), open_, 6.0) < cost(paced(UNSEEN, slow, 5.0), open_ + 1, 6.0)


def test_a_failing_target_is_slow_until_that_is_forgotten() -> None:
    ill, well = failed(paced(UNSEEN, 0.05, 1.0), 2.0), paced(UNSEEN, 1.0, 2.0)
    assert ill.peak_s == FAILED_S
    assert cost(ill, 0, 2.0) > cost(well, 0, 2.0)
    assert cost(ill, 0, 62.0) < cost(paced(well, 1.0, 61.0), 0, 62.0)


def test_of_an_unknown_target_one_request_finds_out() -> None:
    known = paced(UNSEEN, 0.2, 1.0)
    assert cost(UNSEEN, 0, 1.0) < cost(known, 0, 1.0) < cost(UNSEEN, 1, 1.0)


@given(st.integers(0, 2**32), st.sampled_from([0.2, 0.5, 1.0]))
def test_one_answer_of_twenty_is_later_than_the_percentile(seed: int, spread: float) -> None:
    chance, pace = random.Random(seed), UNSEEN
    late = 0
    for number in range(4000):
        took = chance.lognormvariate(-1.0, spread)
        late += number >= 2000 and took > pace.p95_s
        pace = paced(pace, took, float(number))
    assert late / 2000 == pytest.approx(0.05, abs=0.02)


def test_nothing_is_hedged_by_a_percentile_that_is_not_known_yet() -> None:
    pace = UNSEEN
    for number in range(LEAST_SEEN):
        assert hedge_after_s(pace) is None
        pace = paced(pace, 0.3, float(number + 1))
    assert hedge_after_s(pace) == pytest.approx(0.3, rel=0.15)
    assert hedge_after_s(Pace(1.0, 1.0, 0.7, LEAST_SEEN)) == 0.7


# Who may rest


@given(st.lists(st.one_of(st.just(0.0), st.floats(0.01, 30)), min_size=1, max_size=9), st.floats(0, 1))
def test_more_than_the_stated_share_never_rests(waits: list[float], most: float) -> None:
    kept = kept_callable(waits, [True] * len(waits), most)
    resting = [wait for position, wait in enumerate(waits) if wait > 0 and position not in kept]
    assert len(resting) <= max(1, int(len(waits) * most))
    assert all(waits[position] > 0 for position in kept)
    assert [waits[position] for position in kept] == sorted(waits[position] for position in kept)
    assert not kept or max(waits[position] for position in kept) <= min(resting)


@given(st.lists(st.floats(0.01, 30), min_size=2, max_size=9))
def test_by_default_at_least_half_of_the_targets_can_be_called(waits: list[float]) -> None:
    assert 2 * len(kept_callable(waits, [True] * len(waits), RouteSettings().resting_share)) >= len(waits)


def test_a_single_target_may_rest_and_of_two_one_is_asked() -> None:
    assert kept_callable([3.0], [True], 0.5) == []
    assert kept_callable([3.0, 2.0], [True, True], 0.5) == [1]
    assert kept_callable([3.0, 2.0], [True, True], 1.0) == []


def test_who_asked_to_be_left_alone_is() -> None:
    assert kept_callable([3.0, 2.0], [True, False], 0.5) == [0]
    assert kept_callable([3.0, 2.0], [False, False], 0.5) == []


# Rules

MONDAY_NIGHT = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)


def _traits(at: datetime = MONDAY_NIGHT, tokens: int = 100, **headers: str) -> Traits:
    return Traits({name.replace("_", "-"): value for name, value in headers.items()}, {"plan": "gold"}, tokens, at)


@pytest.mark.parametrize(
    ("when", "so"),
    [
        (When(headers={"x-tier": "gold*"}), True),
        (When(headers={"x-tier": "gold"}), False),
        (When(headers={"x-team": "*"}), False),
        (When(metadata={"plan": "g?ld"}), True),
        (When(metadata={"plan": "gold"}, headers={"x-tier": "silver"}), False),
        (When(tokens_over=99), True),
        (When(tokens_over=100), False),
        (When(tokens_under=101), True),
        (When(tokens_under=100), False),
        (When(weekdays=(Weekday.MON,)), True),
        (When(weekdays=(Weekday.TUE,)), False),
        (When(weekdays=(Weekday.TUE,), zone="Europe/Berlin"), True),
        (When(hours="22:00-06:00"), True),
        (When(hours="08:00-18:00"), False),
        (When(hours="00:00-01:00", zone="Europe/Berlin"), True),
        (When(hours="23:30-24:00"), True),
        (When(hours="22:00-23:30"), False),
        (When(hours="22:00-06:00", weekdays=(Weekday.MON,), zone="Europe/Berlin"), True),
        (When(hours="22:00-06:00", weekdays=(Weekday.TUE,), zone="Europe/Berlin"), False),
    ],
)
def test_a_condition_holds_where_all_that_it_names_is_so(when: When, *, so: bool) -> None:
    assert holds(when, _traits(x_tier="gold-plus")) is so


@given(st.integers(0, 24 * 60 - 1), st.integers(0, 24 * 60 - 1), st.integers(0, 24 * 60 - 1))
def test_hours_and_their_opposite_share_the_day(begin: int, end: int, minute: int) -> None:
    if begin == end:
        return
    first, second = (f"{one // 60:02}:{one % 60:02}" for one in (begin, end))
    at = MONDAY_NIGHT.replace(hour=minute // 60, minute=minute % 60)
    one, other = (holds(When(hours=hours), _traits(at)) for hours in (f"{first}-{second}", f"{second}-{first}"))
    assert one is not other


@pytest.mark.parametrize("hours", ["8-18", "08:00", "08:00-08:00", "25:00-26:00", "08:00-24:30", "08:60-09:00"])
def test_what_is_no_time_of_day_is_refused(hours: str) -> None:
    with pytest.raises(Invalid, match="08:00-18:00"):
        parse_hours(hours)
