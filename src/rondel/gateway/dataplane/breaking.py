"""Which targets rest after failures, and how many retries there may be."""

from rondel.gateway.picking import UNSEEN, Pace, failed
from rondel.gateway.rules import FAILURES_TO_OPEN, LONGEST_REST_S, OUR_FAULT_STATUS, rest_s

RETRY_SHARE = 0.2
RETRIES_SPARE = 10.0
_NOT_IMPLEMENTED = 501
"""What was asked for is nothing that this server ever does: it is well."""


class Breaker:
    """One target's health: after failures in a row it rests, then one request tries it.

    Source: the pattern of M. Nygard, Release It!, 2nd ed., chapter 5; the rest doubles as in Envoy's outlier ejection.
    """

    __slots__ = ("_failures", "_is_asked_for", "_is_probing", "_openings", "_rests_until", "open", "pace")

    def __init__(self) -> None:
        self._failures = self._openings = 0
        self._rests_until = 0.0
        self._is_probing = self._is_asked_for = False
        self.open = 0
        """Requests under way."""
        self.pace: Pace = UNSEEN
        """How fast it is, where a route goes by that."""

    @property
    def is_ejected(self) -> bool:
        """Whether it rests because it failed, and not because it asked for it."""
        return not self._is_asked_for

    @property
    def is_resting(self) -> bool:
        """Whether it rested since it last answered."""
        return self._rests_until > 0

    def wait_s(self, now: float) -> float:
        """Seconds until it may be asked; 0 when it may be now."""
        if self._rests_until <= now:
            return 1.0 if self._is_probing else 0.0
        return self._rests_until - now

    def begin(self) -> None:
        """A request goes to it."""
        self.open += 1
        self._is_probing = self._openings > 0

    def succeed(self) -> None:
        """It answered."""
        self.open -= 1
        self._failures = self._openings = 0
        self._rests_until = 0.0
        self._is_probing = self._is_asked_for = False

    def fail(self, now: float) -> None:
        """It failed: enough of that, or a failed probe, and it rests."""
        self.open -= 1
        self._failures += 1
        if self._is_probing or self._failures >= FAILURES_TO_OPEN:
            self._openings += 1
            self._failures = 0
            self._rests_until = now + rest_s(self._openings)
            self._is_asked_for = False
        self._is_probing = False

    def leave(self) -> None:
        """The request ended without saying anything about its health."""
        self.open -= 1
        self._is_probing = False

    def rest(self, seconds: float, now: float) -> None:
        """It asked to be left alone."""
        self._rests_until = max(self._rests_until, now + seconds)
        self._is_asked_for = True


def blame(breaker: Breaker, status: int, retry_after_s: float | None, now: float, *, is_paced: bool) -> None:
    """Tell a breaker of a try that gave no answer; status 0 is a failed connection or a timeout."""
    if is_paced:
        breaker.pace = failed(breaker.pace, now)
    if status == 429:
        breaker.leave()
        if retry_after_s:
            breaker.rest(min(retry_after_s, LONGEST_REST_S), now)
    elif status == 0 or (status >= 500 and status != _NOT_IMPLEMENTED) or status in OUR_FAULT_STATUS:
        breaker.fail(now)
    else:
        breaker.succeed()


class RetryBudget:
    """Retries are at most a fifth of the requests, beyond a few spare ones; so they never become the load."""

    __slots__ = ("_spare",)

    def __init__(self) -> None:
        self._spare = RETRIES_SPARE

    def earn(self) -> None:
        """A request came."""
        self._spare = min(RETRIES_SPARE, self._spare + RETRY_SHARE)

    def take(self) -> bool:
        """Whether there may be one more retry; if so it is taken."""
        if self._spare < 1:
            return False
        self._spare -= 1
        return True
