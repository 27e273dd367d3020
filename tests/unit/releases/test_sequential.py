"""The statistics keep their promises in simulation: few false alarms at every look, and enough power."""

import math
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from rondel.releases.sequential import (
    RARE_FRACTIONS,
    Pairs,
    difference_interval,
    log_e_above,
    log_e_below,
    log_e_mismatch,
    log_e_more_errors,
    mean_interval,
    pair,
    pairs_needed,
    ratio_interval,
)

Floats = NDArray[np.float64]
BAR = math.log(2 / 0.05)


def scores(rng: np.random.Generator, mean: float, n: int) -> Floats:
    """Shares of five fields that are right: discrete, skewed, far from normal."""
    return rng.binomial(5, rng.beta(3 * mean, 3 * (1 - mean), n)) / 5


def difference(rng: np.random.Generator, live: float, canary: float, n: int, weight: float) -> Floats:
    arm = rng.random(n) < weight
    values = np.where(arm, scores(rng, canary, n), scores(rng, live, n))
    pairs = pair((bool(is_canary), float(value), weight) for is_canary, value in zip(arm, values, strict=True))
    return pairs.canary - pairs.live


def first(path: Floats, bar: float = BAR) -> int | None:
    over = path >= bar
    return int(np.argmax(over)) + 1 if over.any() else None


@pytest.mark.parametrize("weight", [0.1, 0.25, 0.5])
def test_no_difference_is_rolled_back_in_at_most_alpha_though_every_answer_is_looked_at(weight: float) -> None:
    rng = np.random.default_rng(7)
    runs = [difference(rng, 0.45, 0.45, 1200, weight) for _ in range(400)]
    alarms = [first(log_e_below(values, 0.0, ceiling=1.0)) for values in runs]
    assert sum(alarm is not None for alarm in alarms) / len(runs) <= 0.025 + 2 * math.sqrt(0.025 * 0.975 / 400)


def test_the_sequence_holds_the_truth_at_every_look() -> None:
    rng = np.random.default_rng(8)
    missed = 0
    for _ in range(300):
        values = difference(rng, 0.6, 0.5, 500, 0.5)
        low, high = log_e_above(values, -0.1, floor=-1.0), log_e_below(values, -0.1, ceiling=1.0)
        missed += first(low) is not None or first(high) is not None
    assert missed / 300 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("weight", [0.25, 0.5])
def test_a_drop_of_23_points_is_found_within_80_pairs(weight: float) -> None:
    rng = np.random.default_rng(9)
    found = [first(log_e_below(difference(rng, 0.45, 0.22, 900, weight), -0.05, ceiling=1.0)) for _ in range(200)]
    assert np.percentile([n or 9999 for n in found], 50) <= 60
    assert np.percentile([n or 9999 for n in found], 80) <= 85


def test_planning_tells_when_four_of_five_canaries_are_decided() -> None:
    rng = np.random.default_rng(10)
    for live, canary, margin in ((0.45, 0.22, 0.05), (0.45, 0.6, 0.05)):
        runs = [difference(rng, live, canary, 1500, 0.5) for _ in range(150)]
        spread = float(np.mean([values.std() for values in runs]))
        distance = canary - live + margin
        paths = [
            log_e_below(v, -margin, ceiling=1.0) if distance < 0 else log_e_above(v, -margin, floor=-1.0) for v in runs
        ]
        needed = pairs_needed(distance, spread)
        decided = np.mean([(first(path) or 9999) <= needed for path in paths])
        assert decided >= 0.75
        assert needed <= 2.2 * np.percentile([first(path) or 9999 for path in paths], 50)


def test_the_interval_ends_where_the_evidence_does() -> None:
    rng = np.random.default_rng(11)
    values = difference(rng, 0.5, 0.45, 400, 0.5)
    interval = mean_interval(values, floor=-1.0, ceiling=1.0)
    assert interval.low < interval.estimate < interval.high
    assert log_e_above(values, interval.low, floor=-1.0)[-1] == pytest.approx(BAR, abs=0.01)
    assert log_e_below(values, interval.high, ceiling=1.0)[-1] == pytest.approx(BAR, abs=0.01)


def test_more_answers_make_the_interval_narrower_and_none_make_it_everything() -> None:
    rng = np.random.default_rng(12)
    values = difference(rng, 0.5, 0.5, 4000, 0.5)
    intervals = [mean_interval(values[:n], floor=-1.0, ceiling=1.0) for n in (1, 20, 100, 500, 1500)]
    widths = [interval.high - interval.low for interval in intervals]
    assert widths == sorted(widths, reverse=True)
    assert mean_interval(np.zeros(0), floor=-1.0, ceiling=1.0)[2:] == (-1.0, 1.0)


def test_agrees_with_the_plain_product_of_bets() -> None:
    """The mixture by hand: the mean over fractions of the product of 1 + f (m - x) / (ceiling - m)."""
    values = np.array([0.2, -0.4, 0.0, -1.0, 0.6])
    fractions = (0.5, 0.9)
    by_hand = np.mean([np.prod([1 + f * (-0.1 - x) / 1.1 for x in values]) for f in fractions])
    got = log_e_below(values, -0.1, ceiling=1.0, fractions=np.array(fractions))[-1]
    assert math.exp(got) == pytest.approx(by_hand)


def test_every_wealth_is_fair_under_its_null_by_counting_all_outcomes() -> None:
    """Ville's inequality asks for a mean of 1 (at most); summed exactly over all sequences of six."""
    chances = {-1.0: 0.3, 0.0: 0.5, 1.0: 0.2}
    mean = sum(value * chance for value, chance in chances.items())
    below = above = 0.0
    for outcome in product(chances, repeat=6):
        chance = math.prod(chances[value] for value in outcome)
        values = np.array(outcome)
        below += chance * math.exp(log_e_below(values, mean, ceiling=1.0)[-1])
        above += chance * math.exp(log_e_above(values, mean, floor=-1.0)[-1])
    assert below == pytest.approx(1.0)
    assert above == pytest.approx(1.0)
    weights = np.array([0.1, 0.25, 0.25, 0.5, 0.5, 0.5])
    errors = mismatch = 0.0
    for whose in product((True, False), repeat=6):
        arm = np.array(whose)
        errors += math.prod(np.where(arm, weights, 1 - weights)) * math.exp(log_e_more_errors(arm, weights))
        mismatch += (
            0.25 ** int(arm.sum()) * 0.75 ** int((~arm).sum()) * math.exp(log_e_mismatch(int(arm.sum()), 6, 0.25))
        )
    assert errors == pytest.approx(1.0)
    assert mismatch == pytest.approx(1.0)


def test_pairs_waste_nothing_and_depend_on_no_value() -> None:
    answers = [(index % 4 == 0, float(index), 0.25) for index in range(400)]
    pairs = pair(answers)
    assert len(pairs.canary) == 100
    assert pairs.live[0] == pytest.approx((1 + 2 + 3) / 3)
    other = pair((arm, -value, weight) for arm, value, weight in answers)
    assert len(other.canary) == 100


def test_errors_at_equal_rates_alarm_in_at_most_alpha_even_when_the_rate_changes_with_time() -> None:
    rng = np.random.default_rng(13)
    alarms = 0
    for _ in range(300):
        n = 2000
        rate = np.where(np.arange(n) < n / 2, 0.01, 0.15)
        arm = rng.random(n) < 0.25
        failed = np.flatnonzero(rng.random(n) < rate)
        weights = np.full(len(failed), 0.25)
        steps = range(1, len(failed) + 1)
        alarms += any(log_e_more_errors(arm[failed[:k]], weights[:k]) >= BAR for k in steps)
    assert alarms / 300 <= 0.025 + 2 * math.sqrt(0.025 * 0.975 / 300)


def test_more_errors_are_found_soon() -> None:
    rng = np.random.default_rng(14)
    needed: list[int] = []
    for _ in range(100):
        arm = rng.random(4000) < 0.25
        failed = np.flatnonzero(rng.random(4000) < np.where(arm, 0.2, 0.02))
        hit = next(k for k in range(1, len(failed)) if log_e_more_errors(arm[failed[:k]], np.full(k, 0.25)) >= BAR)
        needed.append(int(arm[: failed[hit]].sum()))
    assert np.median(needed) <= 40


def test_a_mismatch_of_traffic_is_found_and_a_match_is_not() -> None:
    rng = np.random.default_rng(15)
    bar = math.log(1000)
    fair = [np.cumsum(rng.random(2000) < 0.25) for _ in range(200)]
    assert not any(log_e_mismatch(int(c[n]), n + 1, 0.25) >= bar for c in fair for n in range(0, 2000, 50))
    assert log_e_mismatch(150, 400, 0.25) >= bar


def test_a_clean_canary_shows_that_errors_are_few() -> None:
    clean = Pairs(np.zeros(110), np.zeros(110))
    assert difference_interval(clean, fractions=RARE_FRACTIONS).high <= 0.05


def test_a_ratio_of_latencies_is_covered_and_one_stuck_request_decides_nothing() -> None:
    rng = np.random.default_rng(16)
    live, canary = rng.gamma(4, 100, 400), rng.gamma(4, 150, 400)
    interval = ratio_interval(Pairs(canary, live), cap=3000.0)
    assert interval.low < 1.5 < interval.high
    assert interval.low > 1
    same = rng.gamma(4, 100, 60)
    same[3] = 1e9
    stuck = ratio_interval(Pairs(same, rng.gamma(4, 100, 60)), cap=3000.0)
    assert stuck.low < 1 < stuck.high
