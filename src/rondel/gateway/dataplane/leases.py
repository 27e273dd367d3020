"""How much of a limit one worker takes at once, and when a rate lets something through. Pure.

A worker takes a lease of what is left and gives out of it without asking anybody. Leases are small beside the limit and
shrink with what is left, so that little lies idle in workers that have no use for it; near the end a lease is just what
one request needs.
"""

from typing import NamedTuple

SLICES = 128
"""All workers together hold idle at most about this part of a limit."""
MINUTE_NS = 60_000_000_000
LEASE_S = 1.0
"""A lease of a rate is used within this time or given back: what was not used then cannot pile up."""


def share(left: int, missing: int, capacity: int, sharers: int) -> int | None:
    """What a worker takes of `left` that lacks `missing`, while `sharers` take: None when there is not that much."""
    if left < missing:
        return None
    return min(left, max(missing, min(left // (2 * sharers), capacity // (SLICES * sharers))))


class Grant(NamedTuple):
    """`amount` taken of a rate, 0 when nothing: then `wait_s` says when there will be enough.

    `until_ns` is the bucket's new state.
    """

    amount: int
    wait_s: float
    until_ns: int


def pace(amount: int, per_minute: int) -> int:
    """Nanoseconds in which a rate allows so much."""
    return amount * MINUTE_NS // per_minute


def grant(until_ns: int, now_ns: int, missing: int, per_minute: int, sharers: int) -> Grant:
    """Take from a bucket that holds a minute's allowance and is refilled steadily.

    Its whole state is one number, the moment at which it would be full again: the generic cell rate algorithm (ITU-T
    I.371, annex A). What is asked beyond a whole minute's allowance waits for a full bucket. A moment further ahead
    than anything can have taken it is from another boot of the machine.
    """
    until = max(until_ns, now_ns) if until_ns - now_ns <= 60 * MINUTE_NS else now_ns
    filled_ns = until - now_ns
    if missing > per_minute and filled_ns:
        return Grant(0, filled_ns / 1e9, until)
    left = (MINUTE_NS - filled_ns) * per_minute // MINUTE_NS
    if missing > left and missing <= per_minute:
        return Grant(0, max(1, pace(missing, per_minute) + filled_ns - MINUTE_NS) / 1e9, until)
    amount = share(left, missing, per_minute, sharers) or missing
    return Grant(amount, 0.0, until + pace(amount, per_minute))
