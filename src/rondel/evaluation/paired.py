"""Is B better than A? The paired difference, its 95 % interval, a test, and a sentence.

One default for each kind of score:
- 0 or 1: Tango's score interval and the exact McNemar test;
- other scores, 30 examples or more: paired t interval and test;
- fewer: BCa bootstrap interval (widened for few examples) and the sign-flip permutation test.
B is called better (worse) when the interval excludes 0 and p <= 0.05; otherwise no difference was seen.
"""

from collections.abc import Callable
from itertools import product
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from rondel.errors import Invalid
from rondel.evaluation.distributions import binomial_tail, normal_quantile, t_tail
from rondel.evaluation.intervals import (
    ALPHA,
    T_FROM,
    Interval,
    constant_interval,
    is_binary,
    small_interval,
    t_interval,
)
from rondel.evaluation.models import Comparison, Verdict
from rondel.evaluation.power import plural, smallest_visible

EXACT_FLIPS = 14
"""Up to this many examples every sign flip is counted; beyond, FLIPS are drawn."""
FLIPS = 20_000


def compare(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    metric: str = "score",
    names: tuple[str, str] = ("A", "B"),
    seed: int = 0,
) -> Comparison:
    """B minus A over the same examples: `(n,)` scores each, in the same order.

    Raises:
        Invalid: the lengths differ, or there is no example.
    """
    if len(a) != len(b):
        raise Invalid(f"A paired comparison needs the same examples: {len(a)} and {len(b)} were given.")
    n = len(a)
    if n == 0:
        raise Invalid("There is no example that both were evaluated on, so they cannot be compared.")
    differences = b - a
    value = float(differences.mean())
    wins, losses = int(np.count_nonzero(differences > 0)), int(np.count_nonzero(differences < 0))
    interval, p_value, method = _judged(a, b, differences, wins, losses, seed)
    mde = smallest_visible(n, _spread(differences), is_binary=is_binary(a) and is_binary(b))
    verdict = Verdict.UNDECIDED
    if p_value <= ALPHA and interval.low > 0:
        verdict = Verdict.BETTER
    elif p_value <= ALPHA and interval.high < 0:
        verdict = Verdict.WORSE
    return Comparison(
        metric=metric,
        value=value,
        low=interval.low,
        high=interval.high,
        n=n,
        p_value=p_value,
        mde=mde,
        sentence=_sentence(verdict, names, metric, value, interval, p_value, n, mde),
        verdict=verdict,
        a_mean=float(a.mean()),
        b_mean=float(b.mean()),
        wins=wins,
        losses=losses,
        ties=n - wins - losses,
        method=method,
    )


def _judged(
    a: NDArray[np.float64], b: NDArray[np.float64], differences: NDArray[np.float64], wins: int, losses: int, seed: int
) -> tuple[Interval, float, str]:
    n = len(differences)
    if is_binary(a) and is_binary(b):
        return tango(wins, losses, n), mcnemar(wins, losses), "Tango interval, exact McNemar test"
    if n == 1 or float(differences.std()) == 0:
        value = float(differences[0])
        interval = constant_interval(value, n, low=min(-1.0, value), high=max(1.0, value))
        return interval, 2.0 ** (1 - n) if value else 1.0, "bound on unseen differences, sign test"
    if n >= T_FROM:
        return t_interval(differences), t_test(differences), "paired t"
    return (
        small_interval(differences, seed=seed),
        sign_flip_test(differences, seed=seed),
        "BCa bootstrap, sign-flip test",
    )


def tango(wins: int, losses: int, n: int, *, alpha: float = ALPHA) -> Interval:
    """Of the difference of two paired shares: `wins` examples only B has right, `losses` only A, of `n`.

    Source: Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design, Statistics in Medicine 17 (1998), section 4: the differences that a score test does not reject.
    """
    z = normal_quantile(1 - alpha / 2)

    def statistic(difference: float) -> float:
        linear = -wins - losses + (2 * n - wins + losses) * difference
        constant = -losses * difference * (1 - difference)
        root = sqrt(max(linear * linear - 8 * n * constant, 0.0))
        nuisance = (root - linear) / (4 * n)
        variance = n * (2 * nuisance + difference * (1 - difference))
        return (wins - losses - n * difference) / sqrt(variance) if variance > 0 else 0.0

    estimate = (wins - losses) / n
    low = -1.0 if estimate == -1 else _crossing(lambda at: statistic(at) - z, -1 + 1e-12, estimate)
    high = 1.0 if estimate == 1 else _crossing(lambda at: -z - statistic(at), 1 - 1e-12, estimate)
    return Interval(low, high)


def _crossing(outside: Callable[[float], float], rejected: float, kept: float) -> float:
    """Where a function falls to 0 between a point that is outside (>0) and one that is not."""
    for _ in range(100):
        middle = (rejected + kept) / 2
        rejected, kept = (middle, kept) if outside(middle) > 0 else (rejected, middle)
    return (rejected + kept) / 2


def mcnemar(wins: int, losses: int) -> float:
    """The exact two-sided p-value: under no difference, wins are Binomial(wins + losses, 1/2).

    Source: McNemar, Psychometrika 12 (1947), in its exact form.
    """
    return min(1.0, 2 * binomial_tail(max(wins, losses), wins + losses, 0.5)) if wins != losses else 1.0


def t_test(differences: NDArray[np.float64]) -> float:
    """The two-sided p-value of a mean of 0, for `(n,)` differences that are not all equal."""
    n = len(differences)
    return 2 * t_tail(abs(float(differences.mean())) / (float(differences.std(ddof=1)) / sqrt(n)), n - 1)


def sign_flip_test(differences: NDArray[np.float64], *, seed: int = 0) -> float:
    """The two-sided p-value of symmetry around 0: exact up to 14 examples, else by 20,000 draws.

    Source: Fisher, The Design of Experiments (1935), section 21; the +1 in the drawn form after Phipson, Smyth (2010).
    """
    n, seen = len(differences), abs(float(differences.sum())) - 1e-12
    if n <= EXACT_FLIPS:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
        return float(np.mean(np.abs(signs @ differences) >= seen))
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(FLIPS, n))
    return (1 + int(np.count_nonzero(np.abs(signs @ differences) >= seen))) / (FLIPS + 1)


def _spread(differences: NDArray[np.float64]) -> float:
    return float(differences.std(ddof=1)) if len(differences) > 1 else 0.0


def _sentence(
    verdict: Verdict,
    names: tuple[str, str],
    metric: str,
    value: float,
    interval: Interval,
    p_value: float,
    n: int,
    mde: float,
) -> str:
    a, b = names
    figures = f"95 % interval {_points(interval.low)} to {_points(interval.high)}, {_p(p_value)}, {plural(n)}"
    if verdict is Verdict.UNDECIDED:
        could = f"one of {100 * mde:.1f} points would have been seen four times in five"
        return (
            f"No difference between {a} and {b} was seen on {metric}: {_points(value)} points ({figures}); "
            f"{could if mde < 1 else 'so few examples can show none'}."
        )
    return f"{b} is {verdict} than {a} on {metric} by {100 * abs(value):.1f} points ({figures})."


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
