"""How small a difference a comparison can see, and how many examples it needs, before it starts.

Source: the usual normal-theory power of a paired t test, (t_(1-alpha/2) + t_(power)) * sd / sqrt(n); Cohen, Statistical
Power Analysis (1988), section 2.
"""

from math import sqrt
from typing import NamedTuple

from rondel.errors import Invalid
from rondel.evaluation.distributions import t_quantile
from rondel.evaluation.intervals import ALPHA

POWER = 0.8
USUAL_SD = 0.5
"""Spread of paired differences of scores in [0, 1] when nothing is known: a quarter of the answers change from right
to wrong or back. The largest possible is 1."""
DISCORDANT = 8
"""With no spread seen: six one-sided changes are significant by the exact test (p = 0.031), and eight expected ones
give six or more in about four of five samples."""


def smallest_visible(n: int, sd: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """The true difference that `n` pairs whose differences spread by `sd` find with probability `power`.

    With `sd` 0 (no difference was ever seen) it is DISCORDANT / n; never above 1, the range of a score.
    """
    if n < 2:
        return 1.0
    floor = min(DISCORDANT / n, 1.0)
    if sd <= 0:
        return floor
    return min((t_quantile(1 - alpha / 2, n - 1) + t_quantile(power, n - 1)) * sd / sqrt(n), 1.0)


def needed(difference: float, sd: float = USUAL_SD, *, alpha: float = ALPHA, power: float = POWER) -> int:
    """The smallest n whose `smallest_visible` is at most `difference`.

    Raises:
        Invalid: the difference is not in (0, 1].
    """
    if not 0 < difference <= 1:
        raise Invalid(f"A difference of {difference:g} cannot be looked for: it must be above 0 and at most 1.")
    low, high = 1, 2
    while smallest_visible(high, sd, alpha=alpha, power=power) > difference:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if smallest_visible(middle, sd, alpha=alpha, power=power) > difference:
            low = middle
        else:
            high = middle
    return high


class Plan(NamedTuple):
    """What `n` examples will be able to see, said before they are asked."""

    n: int
    sd: float
    visible: float
    sentence: str


def plan(n: int, sd: float = USUAL_SD) -> Plan:
    """The smallest visible difference of `n` paired examples, and how many more would see half of it."""
    visible = smallest_visible(n, sd)
    sentence = f"{n} paired examples can see a difference of {100 * visible:.1f} points (80 % power)"
    if 0 < visible < 1:
        half = needed(visible / 2, sd)
        sentence += f"; {half} would see {50 * visible:.1f}"
    return Plan(n, sd, visible, sentence + ".")
