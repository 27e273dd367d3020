"""The median of the rounds, and where the true one lies."""

from collections.abc import Sequence
from math import comb
from statistics import median
from typing import NamedTuple

WANTED = 0.95


class Spread(NamedTuple):
    """A median and its interval."""

    median: float
    low: float
    high: float


def rank(rounds: int) -> int:
    """The interval of the median is from the so-many-th value to the so-many-th from above: the narrowest pair that
    covers it with 95 %, or the outermost."""
    best = 1
    for each in range(2, rounds // 2 + 1):
        if coverage(rounds, each) >= WANTED:
            best = each
    return best


def coverage(rounds: int, each: int) -> float:
    """How often such an interval holds the true median, whatever the distribution of independent rounds.

    1 - 2 P(B < each), B binomial with `rounds` trials of 1/2. Source: David and Nagaraja, Order Statistics, 3rd
    edition, section 7.1.
    """
    return 1 - 2 * sum(comb(rounds, below) for below in range(each)) / 2**rounds


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    ordered, each = sorted(values), rank(len(values))
    return Spread(median(ordered), ordered[each - 1], ordered[-each])
