"""Which target is asked first: decisions over plain values. All pure; draws are uniform in [0, 1), times seconds."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rondel.errors import Invalid
from rondel.gateway.routing import Weekday, When

DECAY_S = 10.0
"""In that time what is known of a target's speed counts for a third."""
FAILED_S = 5.0
"""A failure counts as an answer that took so long, or twice as long as expected."""
LEAST_SEEN = 20
"""Answers of a target before its 95th percentile is gone by."""
_SHARE = 0.95
_STEP = 0.1
_LEAST_S = 1e-4
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_DAY = 24 * 60


# Orders: positions, the first to be asked first


def race(draws: Sequence[float], weights: Sequence[float]) -> list[int]:
    """An order in which each place is drawn by weight among those that are left; weight 0 comes last.

    Each position runs for an exponential time with its weight as the rate, so the first to arrive is one with
    probability weight / sum. Source: P. Efraimidis, P. Spirakis, Weighted random sampling with a reservoir, Inf. Proc.
    Letters 97 (2006). With draws that are hashes of (unit, target) it is weighted rendezvous hashing: a target that
    goes leaves every other one's time as it was, so only its own units move.
    """
    times = [
        -math.log1p(-draw) / weight if weight > 0 else math.inf for draw, weight in zip(draws, weights, strict=True)
    ]
    return sorted(range(len(times)), key=times.__getitem__)


def unit_draws(salt: str, unit: str, names: Iterable[str]) -> list[float]:
    """A draw for each target that is the same for a unit for ever."""
    seed = hashlib.blake2b(f"{salt}\0{unit}".encode(), digest_size=16).digest()
    digests = (hashlib.blake2b(name.encode(), digest_size=8, key=seed).digest() for name in names)
    return [(int.from_bytes(digest, "big") >> 11) / 2**53 for digest in digests]


def by_load(open_: Sequence[int], draws: Sequence[float]) -> list[int]:
    """The fewest under way first; ties are drawn."""
    return sorted(range(len(open_)), key=lambda position: (open_[position], draws[position]))


def by_price(nano: Sequence[int | None]) -> list[int]:
    """The cheapest first, unknown prices last; equal ones as they stand."""
    return sorted(range(len(nano)), key=lambda position: (nano[position] is None, nano[position] or 0))


def by_pace(costs: Sequence[float], draw: float) -> list[int]:
    """The better of two that are drawn, then the others by their cost.

    Source: M. Mitzenmacher, The power of two choices in randomized load balancing, IEEE TPDS 12 (2001).
    """
    order = sorted(range(len(costs)), key=costs.__getitem__)
    if len(costs) < 3:
        return order
    pair = int(draw * len(costs) * (len(costs) - 1))  # uniform over ordered pairs
    one, other = divmod(pair, len(costs) - 1)
    other += other >= one
    taken = one if costs[one] <= costs[other] else other
    return [taken, *(position for position in order if position != taken)]


# How fast a target is


class Pace(NamedTuple):
    """What a target's times to the first byte were: their peak moving average as of `at`, and their 95th percentile
    once enough were `seen`."""

    peak_s: float = 0.0
    at: float = 0.0
    p95_s: float = 0.0
    seen: int = 0


UNSEEN = Pace()


def paced(pace: Pace, took_s: float, now: float) -> Pace:
    """With one more answer. A longer time counts at once, shorter ones by and by.

    The percentile moves by a tenth of itself up where a time is above it and by a 19th of that down where it is below:
    in balance 1 of 20 is above. Source: A. Yazidi, H. Hammer, Multiplicative update methods for incremental quantile
    estimation, IEEE Trans. Cybernetics 49 (2019).
    """
    took_s = max(took_s, _LEAST_S)
    kept = math.exp((pace.at - now) / DECAY_S) if now > pace.at else 1.0
    peak_s = took_s if took_s > pace.peak_s else pace.peak_s * kept + took_s * (1 - kept)
    if not pace.seen:
        p95_s = took_s
    else:
        p95_s = pace.p95_s * (1 + (_STEP * _SHARE if took_s > pace.p95_s else -_STEP * (1 - _SHARE)))
    return Pace(peak_s, now, p95_s, pace.seen + 1)


def failed(pace: Pace, now: float) -> Pace:
    """After a failure: as slow as nothing that answers, until that is forgotten."""
    return pace._replace(peak_s=max(FAILED_S, 2 * pace.peak_s), at=now)


def cost(pace: Pace, open_: int, now: float) -> float:
    """What the next request may have to wait for: the average, less the longer nothing was heard, for each under way.

    A target of which nothing is known costs nothing until a request is under way, and then more than any other, so
    that one request finds it out. Source: the peak EWMA of Twitter's Finagle (com.twitter.finagle.loadbalancer).
    """
    if not pace.at:
        return FAILED_S * open_
    return pace.peak_s * math.exp(min(pace.at - now, 0.0) / DECAY_S) * (open_ + 1)


def hedge_after_s(pace: Pace) -> float | None:
    """When a second target is asked; None while too little is known."""
    return pace.p95_s if pace.seen >= LEAST_SEEN else None


# How many may rest


def kept_callable(waits: Sequence[float], is_ejected: Sequence[bool], most_resting: float) -> list[int]:
    """Positions that rest after failures (`waits` above 0) and may be asked all the same, where none is well: of
    so many that at most the share `most_resting` of all rest, those whose rest ends first.

    One may always rest. Those that asked for it themselves are left alone.
    """
    allowed = max(1, int(len(waits) * most_resting))
    beyond = sum(wait > 0 for wait in waits) - allowed
    resting = (position for position, wait in enumerate(waits) if wait > 0 and is_ejected[position])
    return sorted(resting, key=waits.__getitem__)[: max(beyond, 0)]


# Rules


class Traits(NamedTuple):
    """What rules look at: headers by their names in lower case, metadata, the prompt's guessed tokens, the moment."""

    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    tokens: int
    at: datetime


def holds(when: When, traits: Traits) -> bool:
    """Whether everything that the condition names is so."""
    for known, wanted in ((traits.headers, when.headers), (traits.metadata, when.metadata)):
        for name, pattern in wanted.items():
            value = known.get(name)
            if value is None or not fnmatchcase(value, pattern):
                return False
    if when.tokens_over is not None and traits.tokens <= when.tokens_over:
        return False
    if when.tokens_under is not None and traits.tokens >= when.tokens_under:
        return False
    return _is_time(when, traits.at) if when.weekdays or when.hours else True


def _is_time(when: When, at: datetime) -> bool:
    """A night that began on a listed day is of that day."""
    there = at.astimezone(time_zone(when.zone))
    minute = there.hour * 60 + there.minute
    begin, end = parse_hours(when.hours) if when.hours else (0, _DAY)
    if begin >= end and minute < end:
        there, minute = there - timedelta(days=1), minute + _DAY
    last = end if begin < end else end + _DAY
    return begin <= minute < last and (not when.weekdays or tuple(Weekday)[there.weekday()] in when.weekdays)


def time_zone(name: str) -> ZoneInfo:
    """By its name, such as `Europe/Berlin`.

    Raises:
        Invalid: this machine knows no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(f"There is no time zone {name!r} here; names are as in Europe/Berlin.") from error


def parse_hours(hours: str) -> tuple[int, int]:
    """The minutes of the day at which `08:00-18:00` begins and ends.

    Raises:
        Invalid: it is not of that form.
    """
    found = _HOURS.fullmatch(hours)
    if found is None:
        raise Invalid(f"Hours are written as 08:00-18:00, not {hours!r}.")
    first, second, third, fourth = (int(part) for part in found.groups())
    begin, end = first * 60 + second, third * 60 + fourth
    if end > _DAY or begin == end:
        raise Invalid(f"Hours are written as 08:00-18:00, with an end of at most 24:00; this is {hours!r}.")
    return begin, end
