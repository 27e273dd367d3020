"""What a key may still use: token buckets for requests and tokens, and money reserved before and settled after.

Each worker gives out its own part of a limit: the limit divided by the number of workers. So together they never give
out more than there is, and a key whose requests happen to meet one worker alone gets less than its due.
"""

import msgspec

from rondel.errors import LimitReached
from rondel.gateway.models import Limits

_MINUTE_S = 60.0


class Limited(LimitReached):
    """A limit that opens again in `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message, hint=f"Try again in {max(1, round(wait_s))} s.")
        self.wait_s = wait_s


class Bucket:
    """Holds up to one minute's allowance and is refilled steadily; it starts full."""

    __slots__ = ("_level", "_refilled", "per_minute")

    def __init__(self, per_minute: float, now: float) -> None:
        self.per_minute = per_minute
        self._level = per_minute
        self._refilled = now

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken; 0 when it can be now. More than it ever holds waits for a full one."""
        self._level = min(self.per_minute, self._level + (now - self._refilled) * self.per_minute / _MINUTE_S)
        self._refilled = now
        missing = min(amount, self.per_minute) - self._level
        return max(0.0, missing * _MINUTE_S / self.per_minute) if self.per_minute > 0 else _MINUTE_S

    def take(self, amount: float) -> None:
        """Take `amount`; a negative one is given back."""
        self._level -= amount


class Ticket(msgspec.Struct, frozen=True, gc=False):
    """What was taken for one request, to be settled once: tokens, and nano-USD."""

    tokens: int
    nano: int


NOTHING = Ticket(0, 0)
"""What a request without a limit takes."""


class Meter:
    """One key's use in this worker."""

    __slots__ = ("_limits", "_requests", "_reserved", "_spent", "_tokens", "_workers")

    def __init__(self, limits: Limits, workers: int, now: float, *, spent: int = 0) -> None:
        self._limits: Limits = limits
        self._workers: int = workers
        self._reserved = 0
        self._spent = spent
        self._requests = self._bucket(limits.requests_per_minute, now)
        self._tokens = self._bucket(limits.tokens_per_minute, now)

    @property
    def window(self) -> str:
        """When the budget's window began."""
        return self._limits.window_started

    @property
    def spent(self) -> int:
        """Nano-USD spent in the window, through this worker."""
        return self._spent

    def change(self, limits: Limits, workers: int, now: float) -> None:
        """Take new limits; what is spent stays, unless a new budget window has begun."""
        if (limits, workers) == (self._limits, self._workers):
            return
        if limits.window_started != self._limits.window_started:
            self._spent = 0
        else:
            limits = _with_first_spent(limits, self._limits)
        if limits.requests_per_minute != self._limits.requests_per_minute or workers != self._workers:
            self._requests = self._bucket(limits.requests_per_minute, now, workers)
        if limits.tokens_per_minute != self._limits.tokens_per_minute or workers != self._workers:
            self._tokens = self._bucket(limits.tokens_per_minute, now, workers)
        self._limits, self._workers = limits, workers

    def admit(self, user: str, tokens: int, nano: int, now: float) -> Ticket:  # noqa: ARG002  limits of users follow
        """Take from the buckets and reserve the money. Nothing can come between: it is one step of one thread.

        Raises:
            LimitReached: by the limit that refuses; `hint` says when to come again.
        """
        if self._requests and (wait := self._requests.wait_s(1, now)):
            raise Limited(f"The key's limit of {self._limits.requests_per_minute} requests a minute is reached.", wait)
        if self._tokens and (wait := self._tokens.wait_s(tokens, now)):
            raise Limited(f"The key's limit of {self._limits.tokens_per_minute} tokens a minute is reached.", wait)
        if self._limits.budget_nano is not None:
            share = (self._limits.budget_nano - self._limits.spent_nano) / self._workers
            if self._spent + self._reserved + nano > share:
                raise LimitReached(
                    "The key's budget is used up.", hint="Ask for a higher budget, or wait for the next window."
                )
        if self._requests:
            self._requests.take(1)
        if self._tokens:
            self._tokens.take(tokens)
        self._reserved += nano
        return Ticket(tokens, nano)

    def settle(self, ticket: Ticket, tokens: int | None, nano: int | None, now: float) -> None:  # noqa: ARG002
        """Put what was really used in the place of the guess; None keeps the guess."""
        self._reserved -= ticket.nano
        self._spent += ticket.nano if nano is None else nano
        if self._tokens and tokens is not None:
            self._tokens.take(tokens - ticket.tokens)

    def _bucket(self, limit: int | None, now: float, workers: int | None = None) -> Bucket | None:
        return None if limit is None else Bucket(limit / (workers or self._workers), now)


def _with_first_spent(new: Limits, old: Limits) -> Limits:
    """What this worker has spent since stands in the ledger by now: count it once, from the first figure."""
    return Limits(
        requests_per_minute=new.requests_per_minute,
        tokens_per_minute=new.tokens_per_minute,
        budget_nano=new.budget_nano,
        spent_nano=old.spent_nano,
        window_started=new.window_started,
    )
