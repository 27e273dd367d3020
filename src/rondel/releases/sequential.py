"""Statistics that stay valid however often one looks.

Two arms answer a stream of requests. Answers are grouped into *pairs* by arrival (`pair`), in a fixed ratio that
depends on nothing but the planned traffic weights, so given the past every pair has the true difference as its mean.
One bet per pair against a supposed difference makes a wealth that, were the supposition true, exceeds `1/alpha` at
*any* time with probability at most `alpha` (Ville's inequality). The differences not yet bet down form a confidence
sequence.

Sources:
- Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting. JRSS-B 86 (2024), sections 4.1-4.4
  (capital process, hedging, mixtures of fixed bets).
- Shekhar, Ramdas: Nonparametric two-sample testing by betting. IEEE Trans. Inf. Theory 70 (2024): the payoff `Y - X`
  for two streams.
- Robbins: Statistical methods related to the law of the iterated logarithm. Ann. Math. Stat. 41 (1970): the mixture
  method.
- Lindon, Malek: Anytime-valid inference for multinomial count data. NeurIPS 2022: sample-ratio mismatch,
  time-inhomogeneous rates.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FRACTIONS: Floats = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
"""Fractions of the largest allowed bet; the wealth is the mean over them, which costs at most log(11) and adapts to any
variance.
"""
RARE_FRACTIONS: Floats = np.array([0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.96, 0.99])
"""The same for rare events (errors), where bold bets are the good ones."""
ODDS: Floats = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 9.0, 20.0])
"""Odds ratios over which the error e-process mixes."""


class Interval(NamedTuple):
    """A point of a confidence sequence; `n` counts pairs."""

    n: int
    estimate: float
    low: float
    high: float


class Pairs(NamedTuple):
    """Means of the answers grouped by `pair`: `canary[i]` was answered at about the time of `live[i]`."""

    canary: Floats
    live: Floats


def pair(answers: Iterable[tuple[bool, float, float]]) -> Pairs:
    """Group `(is_canary, value, canary weight)` in order of arrival into pairs of means.

    At weight w a pair holds one canary answer and the next `round((1-w)/w)` live ones (the other way round above one
    half), first come first served, so nothing is wasted at any weight. When a pair closes depends on counts alone,
    never on values.
    """
    waiting: tuple[deque[float], deque[float]] = (deque(), deque())
    canary: list[float] = []
    live: list[float] = []
    for is_canary, value, weight in answers:
        waiting[is_canary].append(value)
        need_live, need_canary = ratio(weight)
        while len(waiting[0]) >= need_live and len(waiting[1]) >= need_canary:
            live.append(sum(waiting[0].popleft() for _ in range(need_live)) / need_live)
            canary.append(sum(waiting[1].popleft() for _ in range(need_canary)) / need_canary)
    return Pairs(np.array(canary, dtype=np.float64), np.array(live, dtype=np.float64))


def ratio(weight: float) -> tuple[int, int]:
    """Live and canary answers in one pair at this canary weight."""
    if not 0 < weight < 1:
        return 1, 1
    return (max(1, round((1 - weight) / weight)), 1) if weight <= 0.5 else (1, max(1, round(weight / (1 - weight))))


def log_wealth(gains: Floats, fractions: Floats = FRACTIONS) -> Floats:
    """Logarithm of the wealth after each bet, `(n,)`.

    `gains` are payoffs in units of the largest possible loss: each is at least -1 and has a mean of at most 0 if the
    null is true. The wealth is the mean over `fractions` f of prod(1 + f * gain), a non-negative supermartingale under
    the null that starts at 1.
    """
    if gains.size == 0:
        return np.zeros(0)
    paths = np.cumsum(np.log1p(np.outer(fractions, gains)), axis=1)
    top = paths.max(axis=0)
    return top + np.log(np.mean(np.exp(paths - top), axis=0))


def log_e_above(values: Floats, at: float, *, floor: float, fractions: Floats = FRACTIONS) -> Floats:
    """Evidence that the mean of `values` (each at least `floor`) is above `at`: log e-value after each, `(n,)`."""
    return log_wealth((values - at) / (at - floor), fractions)


def log_e_below(values: Floats, at: float, *, ceiling: float, fractions: Floats = FRACTIONS) -> Floats:
    """Evidence that the mean of `values` (each at most `ceiling`) is below `at`: log e-value after each, `(n,)`."""
    return log_wealth((at - values) / (ceiling - at), fractions)


def mean_interval(
    values: Floats, *, floor: float, ceiling: float, alpha: float = 0.05, fractions: Floats = FRACTIONS
) -> Interval:
    """The `1 - alpha` confidence sequence of a mean of values in `[floor, ceiling]`, at its last point (half of alpha
    on each side).

    With no values it is the whole range.
    """
    if values.size == 0:
        return Interval(0, (floor + ceiling) / 2, floor, ceiling)
    bar = math.log(2 / alpha)
    estimate = float(values.mean())
    span = ceiling - floor
    # The end of each side is where the wealth meets the bar; the wealth falls from the range's end towards the
    # estimate.
    low = _meet(
        lambda at: _last(log_e_above(values, at, floor=floor, fractions=fractions)) - bar, floor + 1e-9 * span, estimate
    )
    high = _meet(
        lambda at: _last(log_e_below(values, at, ceiling=ceiling, fractions=fractions)) - bar,
        ceiling - 1e-9 * span,
        estimate,
    )
    return Interval(int(values.size), estimate, low, high)


def _last(path: Floats) -> float:
    return float(path[-1])


def _meet(over: Callable[[float], float], rejected: float, kept: float) -> float:
    """Where `over` changes sign between an end that is rejected (>= 0) and one that is kept (< 0); the end itself if it
    is kept.
    """
    if over(rejected) < 0:
        return rejected
    for _ in range(40):
        middle = (rejected + kept) / 2
        if over(middle) < 0:
            kept = middle
        else:
            rejected = middle
        if abs(rejected - kept) < 1e-6:
            break
    return kept


def difference_interval(pairs: Pairs, *, alpha: float = 0.05, fractions: Floats = FRACTIONS) -> Interval:
    """Canary minus live for values in [0, 1], as a confidence sequence."""
    return mean_interval(pairs.canary - pairs.live, floor=-1.0, ceiling=1.0, alpha=alpha, fractions=fractions)


def ratio_interval(pairs: Pairs, *, cap: float, alpha: float = 0.05, largest: float = 10.0) -> Interval:
    """Canary mean over live mean for values in [0, cap], as a confidence sequence (Fieller's way: invert the tests of
    `Y - r X`).

    Values above `cap` count as `cap` (winsorised), so one stuck request cannot decide; `cap` must be fixed before the
    first answer.
    """
    canary, live = np.minimum(pairs.canary, cap) / cap, np.minimum(pairs.live, cap) / cap
    if canary.size == 0 or live.sum() == 0:
        return Interval(int(canary.size), 1.0, 0.0, largest)
    bar = math.log(2 / alpha)
    estimate = min(largest, float(canary.mean() / live.mean()))

    def above(at: float) -> float:
        return _last(log_wealth((canary - at * live) / at)) - bar

    def below(at: float) -> float:
        return _last(log_wealth(at * live - canary)) - bar

    low, high = _meet(above, 1e-6, estimate), _meet(below, largest, estimate)
    return Interval(int(canary.size), estimate, low, high)


def log_e_more_errors(from_canary: NDArray[np.bool_], weights: Floats) -> float:
    """Evidence that the canary errs more often than live, from the errors alone: log e-value.

    `from_canary[i]` tells whose the i-th error was, `weights[i]` the canary's share of the traffic then. With equal
    error rates an error is the canary's with probability `weights[i]`, whatever the rate is and however it changes with
    time. A mixture over odds ratios above 1.
    """
    if from_canary.size == 0:
        return 0.0
    shares = ODDS[:, None] * weights / (ODDS[:, None] * weights + 1 - weights)
    logs: Floats = np.where(from_canary, np.log(shares / weights), np.log((1 - shares) / (1 - weights))).sum(axis=1)
    top = float(logs.max())
    return top + math.log(float(np.mean(np.exp(logs - top))))


def log_e_mismatch(canary: int, total: int, weight: float) -> float:
    """Evidence that units do not reach the canary with probability `weight`: log e-value of `canary` among `total`.

    The beta-binomial mixture with a Beta(1, 1) prior against the planned binomial.
    """
    if total == 0 or not 0 < weight < 1:
        return 0.0
    live = total - canary
    mixture = math.lgamma(canary + 1) + math.lgamma(live + 1) - math.lgamma(total + 2)
    return mixture - canary * math.log(weight) - live * math.log1p(-weight)


def pairs_needed(effect: float, spread: float, *, alpha: float = 0.05, most: int = 1_000_000) -> int:
    """Pairs after which a true distance `effect` from the limit is found in about four canaries of five.

    `spread` is the standard deviation of one pair's difference (in [0, 1]). The best bet earns about `effect^2 /
    2(spread^2 + effect^2)` nats a pair; the bar is log(2/alpha), mixing costs about 0.6 nats, and 0.6 standard
    deviations of the wealth are added for four in five (both fitted to simulated canaries; the tests hold them to it).
    """
    effect = abs(effect)
    if effect == 0:
        return most
    variance = spread**2 + effect**2
    growth = effect**2 / (2 * variance)
    bar = math.log(2 / alpha) + 0.6
    swing = 0.6 * math.sqrt(2 * growth)
    root = (swing + math.sqrt(swing**2 + 4 * growth * bar)) / (2 * growth)
    return min(most, math.ceil(root**2))
