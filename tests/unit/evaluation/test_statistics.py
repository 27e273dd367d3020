"""Intervals cover, tests keep their level, and power is what is said: by seeded simulation and against SciPy."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from rondel.errors import Invalid
from rondel.evaluation import distributions as d
from rondel.evaluation.intervals import (
    bca_interval,
    clopper_pearson,
    mean_with_interval,
    small_interval,
    t_interval,
    wilson,
)
from rondel.evaluation.models import Verdict
from rondel.evaluation.paired import compare, mcnemar, sign_flip_test, tango
from rondel.evaluation.power import needed, plan, smallest_visible


@pytest.mark.parametrize("degrees", [1, 2, 5, 29, 400])
@pytest.mark.parametrize("probability", [0.001, 0.025, 0.3, 0.5, 0.8, 0.975, 0.9999])
def test_student_t_agrees_with_scipy(degrees: int, probability: float) -> None:
    point = d.t_quantile(probability, degrees)
    assert point == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-8, abs=1e-8)
    assert d.t_tail(point, degrees) == pytest.approx(1 - probability, rel=1e-8)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.5, 20), (3, 97), (200, 200)])
def test_beta_and_binomial_agree_with_scipy(a: float, b: float) -> None:
    for x in (0.0, 0.01, 0.3, 0.77, 1.0):
        assert d.incomplete_beta(a, b, x) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-10)
        assert d.beta_quantile(x, a, b) == pytest.approx(stats.beta.ppf(x, a, b), abs=1e-9)
    for k, p in product((0, 1, 7, 20, 21), (0.1, 0.5)):
        assert d.binomial_tail(k, 20, p) == pytest.approx(stats.binom.sf(k - 1, 20, p), abs=1e-10)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 30), (15, 30), (150, 150), (87, 200)])
def test_intervals_of_shares_agree_with_scipy(k: int, n: int) -> None:
    exact = stats.binomtest(k, n)
    for ours, method in ((wilson(k, n), "wilson"), (clopper_pearson(k, n), "exact")):
        theirs = exact.proportion_ci(method=method)
        assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (6, 0), (3, 9), (40, 55), (5, 5)])
def test_mcnemar_agrees_with_scipy(wins: int, losses: int) -> None:
    expected = stats.binomtest(wins, wins + losses, 0.5).pvalue if wins + losses else 1.0
    assert mcnemar(wins, losses) == pytest.approx(expected)


def test_bca_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).beta(0.5, 2, size=25)
    ours = bca_interval(values, draws=20_000, seed=2)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=3).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_sign_flips_agree_with_scipy() -> None:
    for n in (8, 20):
        values = np.random.default_rng(n).normal(0.3, 0.5, size=n)
        theirs = stats.permutation_test(
            (values,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1
        ).pvalue
        assert sign_flip_test(values) == pytest.approx(theirs, abs=0.01)


def test_tango_interval_holds_what_its_test_does_not_reject() -> None:
    assert tango(0, 0, 50) == pytest.approx((-0.0713, 0.0713), abs=1e-3)  # z^2 / (n + z^2)
    for wins, losses, n in ((12, 2, 50), (3, 0, 40), (30, 25, 120)):
        interval = tango(wins, losses, n)
        assert tango(losses, wins, n) == pytest.approx((-interval.high, -interval.low))
        for end in interval:
            assert abs(score_statistic(wins, losses, n, end)) == pytest.approx(1.96, abs=0.01)
    assert tango(20, 0, 20).high == 1


def score_statistic(wins: int, losses: int, n: int, difference: float) -> float:
    """The same test with the likelihood under `difference` maximised on a grid instead of in closed form."""
    share = np.linspace(max(-difference, 0), min((1 - difference) / 2, 1), 400_001)[1:-1]  # of A only
    rest = 1 - 2 * share - difference
    likelihood = wins * np.log(share + difference) + losses * np.log(share) + (n - wins - losses) * np.log(rest)
    best = share[int(np.argmax(likelihood))]
    return float((wins - losses - n * difference) / np.sqrt(n * (2 * best + difference - difference**2)))


def pairs(chance: np.random.Generator, n: int, both: float, b_only: float, a_only: float) -> NDArray[np.float64]:
    kinds = chance.choice(4, size=n, p=[both, b_only, a_only, 1 - both - b_only - a_only])
    return np.array([[1, 1], [0, 1], [1, 0], [0, 0]], dtype=np.float64)[kinds].T


@pytest.mark.parametrize(
    ("n", "b_only", "a_only"), [(40, 0.1, 0.1), (60, 0.3, 0.05), (150, 0.05, 0.02), (100, 0.02, 0.0)]
)
def test_the_paired_interval_of_right_and_wrong_covers(n: int, b_only: float, a_only: float) -> None:
    chance = np.random.default_rng(11)
    hits = 0
    for _ in range(600):
        a, b = pairs(chance, n, 0.4, b_only, a_only)
        result = tango(int((b > a).sum()), int((a > b).sum()), n)
        hits += result.low <= b_only - a_only <= result.high
    assert hits / 600 >= 0.93


@pytest.mark.parametrize("n", [30, 60, 150])
def test_the_paired_interval_of_field_shares_covers(n: int) -> None:
    chance = np.random.default_rng(12)
    hits = 0
    for _ in range(800):
        difference = chance.binomial(5, 0.55, size=n) / 5 - chance.binomial(5, 0.4, size=n) / 5
        low, high = t_interval(difference)
        hits += low <= 0.15 <= high
    assert 0.93 <= hits / 800 <= 0.97


@pytest.mark.parametrize("n", [5, 8, 14, 25])
def test_the_interval_of_few_examples_covers(n: int) -> None:
    chance = np.random.default_rng(13)
    hits, drawn = 0, 0
    for _ in range(300):
        values = chance.binomial(5, 0.6, size=n) / 5 - chance.binomial(5, 0.5, size=n) / 5
        if float(values.std()) == 0:
            continue
        drawn += 1
        low, high = small_interval(values, seed=int(chance.integers(1 << 30)))
        hits += low <= 0.1 <= high
    assert 0.925 <= hits / drawn <= 0.985


def test_equal_targets_are_rarely_told_apart() -> None:
    chance = np.random.default_rng(14)
    calls = {"binary": 0, "shares": 0, "few": 0}
    for _ in range(400):
        a, b = pairs(chance, 80, 0.5, 0.12, 0.12)
        calls["binary"] += compare(a, b).verdict is not Verdict.UNDECIDED
        x, y = chance.binomial(5, 0.5, size=(2, 80)) / 5
        calls["shares"] += compare(x, y).verdict is not Verdict.UNDECIDED
        calls["few"] += sign_flip_test((x - y)[:12]) <= 0.05
    assert calls["binary"] / 400 <= 0.05
    assert calls["shares"] / 400 <= 0.075
    assert calls["few"] / 400 <= 0.07


def test_the_smallest_visible_difference_is_seen_four_times_in_five() -> None:
    chance = np.random.default_rng(15)
    n, sd = 100, 0.4
    visible = smallest_visible(n, sd)
    seen = 0
    for _ in range(800):
        differences = chance.normal(visible, sd, size=n)
        seen += compare(np.zeros(n), differences).verdict is Verdict.BETTER
    assert seen / 800 == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(("n", "changed"), [(40, 0.4), (40, 0.2), (100, 0.2), (400, 0.1)])
def test_of_right_and_wrong_the_smallest_visible_difference_is_seen_about_as_often(n: int, changed: float) -> None:
    chance = np.random.default_rng(17)
    difference = max(0.0, 8 / n)
    while smallest_visible(n, float(np.sqrt(changed - difference**2)), is_binary=True) > difference:
        difference += 0.002
    both = (changed + difference) / 2
    seen = 0
    for _ in range(600):
        a, b = pairs(chance, n, 0.4, both, changed - both)
        seen += compare(a, b).verdict is Verdict.BETTER
    assert 0.7 <= seen / 600 <= 0.95


def test_a_few_changed_answers_do_not_make_a_small_difference_visible() -> None:
    a = np.zeros(40)
    b = a.copy()
    b[0] = 1.0
    assert compare(a, b).mde == pytest.approx(8 / 40)
    assert compare(a[:4], b[:4]).sentence.endswith("so few examples can show none.")


@pytest.mark.parametrize("difference", [0.01, 0.05, 0.2, 0.9])
@pytest.mark.parametrize("sd", [0.0, 0.2, 0.5, 1.0])
def test_needed_is_the_smallest_number_that_sees_it(difference: float, sd: float) -> None:
    n = needed(difference, sd)
    assert smallest_visible(n, sd) <= difference
    assert n == 2 or smallest_visible(n - 1, sd) > difference


def test_a_plan_says_what_it_can_see_and_what_half_would_take() -> None:
    found = plan(150, 0.35)
    assert found.visible == pytest.approx(0.0806, abs=0.001)
    assert found.sentence.startswith("150 paired examples can see a difference of 8.1 points (80 % power); 5")
    assert plan(20).visible == pytest.approx(8 / 20)
    assert plan(needed(0.05)).visible <= 0.05
    assert (
        plan(1).sentence
        == "1 paired example can see no difference between two targets (80 % power); 16 would see 50.0."
    )
    with pytest.raises(Invalid):
        needed(0.0)


def test_the_sentence_says_difference_interval_p_and_n() -> None:
    chance = np.random.default_rng(16)
    a = chance.binomial(5, 0.3, size=150) / 5
    b = chance.binomial(5, 0.6, size=150) / 5
    found = compare(a, b, metric="fields_match", names=("base", "candidate"))
    assert found.verdict is Verdict.BETTER
    assert found.sentence.startswith("candidate is better than base on fields_match by ")
    assert "95 % interval +" in found.sentence
    assert "p < 0.001, 150 paired examples" in found.sentence
    same = compare(a, a, names=("base", "copy"))
    assert same.verdict is Verdict.UNDECIDED
    assert same.low < 0 < same.high
    assert "would have been seen four times in five" in same.sentence


def test_swapping_a_and_b_swaps_the_verdict() -> None:
    chance = np.random.default_rng(17)
    for n in (12, 50):
        for scores in (
            chance.binomial(5, [[0.3], [0.7]], size=(2, n)) / 5,
            chance.binomial(1, [[0.2], [0.9]], size=(2, n)),
        ):
            a, b = scores.astype(np.float64)
            one, other = compare(a, b), compare(b, a)
            assert one.value == -other.value
            assert (one.verdict, other.verdict) == (Verdict.BETTER, Verdict.WORSE)
            assert one.p_value == pytest.approx(other.p_value)
            assert (one.wins, one.losses, one.ties) == (other.losses, other.wins, other.ties)


@pytest.mark.parametrize("n", [1, 2, 5, 29, 30, 200])
def test_every_size_gives_an_interval_around_the_value(n: int) -> None:
    chance = np.random.default_rng(18)
    for a, b in (
        (np.zeros(n), np.ones(n)),
        (np.zeros(n), np.zeros(n)),
        (np.full(n, 0.2), np.full(n, 0.7)),
        (chance.random(n), chance.random(n)),
        (chance.integers(0, 2, n).astype(np.float64), chance.integers(0, 2, n).astype(np.float64)),
    ):
        found = compare(a, b)
        assert -1 <= found.low <= found.value <= found.high <= 1 or found.n < 30
        assert 0 <= found.p_value <= 1
        metric = mean_with_interval(a)
        assert metric.low <= metric.value <= metric.high


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(Invalid):
        compare(np.zeros(0), np.zeros(0))
    with pytest.raises(Invalid):
        compare(np.zeros(3), np.zeros(2))
