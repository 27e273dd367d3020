"""The few distribution functions that intervals and tests need, without SciPy.

The incomplete beta function by its continued fraction: Press et al., Numerical Recipes (3rd edition, 2007), 6.4;
Student's t, the beta quantile and the binomial tail follow from it. Accurate to about 1e-10.
"""

from math import exp, lgamma, log, log1p
from statistics import NormalDist

_TINY = 1e-300


def normal_quantile(probability: float) -> float:
    """The point that a standard normal is below with this probability."""
    return NormalDist().inv_cdf(probability)


def normal_tail(point: float) -> float:
    """The probability that a standard normal is above `point`."""
    return NormalDist().cdf(-point)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), the distribution function of Beta(a, b); x in [0, 1]."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's method."""
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    h = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / _away(1 + even * d), _away(1 + even / c)
        h *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / _away(1 + odd * d), _away(1 + odd / c)
        h *= d * c
        if abs(d * c - 1) < 1e-14:
            break
    return h


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def t_tail(point: float, degrees: float) -> float:
    """The probability that Student's t with `degrees` degrees of freedom is above `point`."""
    tail = 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + point * point))
    return tail if point >= 0 else 1 - tail


def t_quantile(probability: float, degrees: float) -> float:
    """The point that Student's t is below with this probability."""
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    low, high = 0.0, 2.0
    while t_tail(high, degrees) > 1 - probability and high < 1e12:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if t_tail(middle, degrees) > 1 - probability else (low, middle)
    return (low + high) / 2


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The point that Beta(a, b) is below with this probability."""
    if probability >= 1:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if incomplete_beta(a, b, middle) < probability else (low, middle)
    return (low + high) / 2


def binomial_tail(at_least: int, n: int, probability: float) -> float:
    """P(X >= at_least) for X of `n` trials."""
    if at_least <= 0:
        return 1.0
    return incomplete_beta(at_least, n - at_least + 1, probability) if at_least <= n else 0.0
