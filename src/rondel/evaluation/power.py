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


def smallest_visible(
    n: int, sd: float, *, is_binary: bool = False, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The true difference that `n` pairs whose differences spread by `sd` find with probability `power`.

    With `sd` 0 (no difference was ever seen) it is DISCORDANT / n, and no less with `is_binary` scores (0 or 1), whose
    test counts changed examples; never above 1, the range of a score.
    """
    if n < 2:
        return 1.0
    floor = min(DISCORDANT / n, 1.0)
    if sd <= 0:
        return floor
    usual = min((t_quantile(1 - alpha / 2, n - 1) + t_quantile(power, n - 1)) * sd / sqrt(n), 1.0)
    return max(usual, floor) if is_binary else usual


def needed(difference: float, sd: float | None = None, *, alpha: float = ALPHA, power: float = POWER) -> int:
    """The smallest n that sees `difference`; `sd` as in `plan`.

    Raises:
        Invalid: the difference is not in (0, 1].
    """
    if not 0 < difference <= 1:
        raise Invalid(f"A difference of {difference:g} cannot be looked for: it must be above 0 and at most 1.")
    low, high = 1, 2
    while _visible(high, sd, alpha, power) > difference:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if _visible(middle, sd, alpha, power) > difference:
            low = middle
        else:
            high = middle
    return high


def _visible(n: int, sd: float | None, alpha: float, power: float) -> float:
    if sd is None:
        return smallest_visible(n, USUAL_SD, is_binary=True, alpha=alpha, power=power)
    return smallest_visible(n, sd, alpha=alpha, power=power)


class Plan(NamedTuple):
    """What `n` examples will be able to see, said before they are asked."""

    n: int
    sd: float
    visible: float
    sentence: str


def plan(n: int, sd: float | None = None) -> Plan:
    """The smallest visible difference of `n` paired examples, and how many more would see half of it.

    `sd` is the spread of paired differences; None is USUAL_SD of answers that are right or wrong.
    """
    visible = _visible(n, sd, ALPHA, POWER)
    sentence = f"{plural(n)} can see a difference of {100 * visible:.1f} points (80 % power)"
    if n < 2 or visible >= 1:
        sentence = f"{plural(n)} can see no difference between two targets (80 % power)"
    half = needed(visible / 2, sd)
    sentence += f"; {half} would see {50 * visible:.1f}"
    return Plan(n, USUAL_SD if sd is None else sd, visible, sentence + ".")


def plural(n: int) -> str:
    """In words, as the sentences of plans and comparisons say it."""
    return "1 paired example" if n == 1 else f"{n} paired examples"
