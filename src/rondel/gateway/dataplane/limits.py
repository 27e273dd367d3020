"""What a caller may still use: rates, requests at once, and money, of the key, its team, its user and its project.

A request is admitted by all of them or by none. It takes from leases that this worker holds of limits which all workers
share, so it asks nobody: `sharing` and `ledger` do, when a lease is used up.
"""

from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import NamedTuple, Protocol

from rondel.errors import LimitReached
from rondel.gateway.dataplane.ledger import Words
from rondel.spend.budgets.models import Window


class Limited(LimitReached):
    """A limit that opens again in `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message, hint=f"Try again in {max(1, round(wait_s))} s.")
        self.wait_s = wait_s


class Starved(Limited):
    """A lease has been asked for and is on its way: `then` calls once when it is here, or when it has been too long.

    Who cannot wait takes it for what it is also: a limit that opens in a moment.
    """

    def __init__(self, message: str, then: Callable[[Callable[[], None]], None]) -> None:
        super().__init__(message, 1.0)
        self.then = then


class Verdict(Enum):
    """What became of asking for more."""

    GRANTED = "granted"
    HELD = "held"
    """There is some left, but it is reserved for requests under way or leased to other workers."""
    SPENT = "spent"
    ASKED = "asked"
    """The answer is on its way."""
    DOWN = "down"
    """Who has to be asked does not answer, and nothing goes without."""


class Asked(NamedTuple):
    """A verdict, and the seconds after which another try makes sense."""

    verdict: Verdict
    wait_s: float = 1.0


_NO_CELLS: Words = memoryview(bytearray(8)).cast("q")
"""What is settled before anything was taken goes nowhere."""


class Shares(Protocol):
    """Gives out parts of limits that others have a part in too."""

    def take(self, quota: "Quota", amount: int, now: float) -> Asked:
        """See to it that `quota.free` is at least `amount`."""
        ...

    def draw(self, rate: "Rate", amount: int, now: float) -> Asked:
        """See to it that `rate.free` is at least `amount`, and set until when it may be used."""
        ...

    def release(self, quota: "Quota") -> None:
        """Give back what `quota` has free."""
        ...

    def call(self, account: str, back: Callable[[], None]) -> None:
        """Call `back` once when an answer for the account has come, or after a bounded time."""
        ...


class Quota:
    """An amount that is used up: money in a window, or requests at once (`window` None, in which nothing is spent).

    `free` is what this worker took and has neither spent nor reserved; -1 before it was opened. `spent_cells[place]` is
    what this worker has spent in the epoch, which the other workers see.
    """

    __slots__ = (
        "account",
        "at",
        "base",
        "capacity",
        "cells",
        "epoch",
        "free",
        "is_open",
        "keep",
        "mark",
        "place",
        "shares",
        "told",
        "turned",
        "window",
    )

    def __init__(self, shares: Shares, account: str, told: str, capacity: int, window: Window | None) -> None:
        self.shares, self.account, self.told, self.capacity, self.window = shares, account, told, capacity, window
        self.free = -1
        self.is_open = False
        self.at = -1
        self.epoch = self.base = self.turned = self.place = self.keep = self.mark = 0
        self.cells: Words = _NO_CELLS

    def begin(self, epoch: int, generation: int) -> None:
        """A new window: nothing is spent, and what was reserved in the old one is settled there."""
        self.epoch, self.turned = epoch, generation
        self.free, self.is_open, self.base = -1, False, 0

    def need(self, amount: int, now: float) -> None:
        """Get more, or refuse in words.

        Raises:
            LimitReached: nothing is left in this window.
            Limited: what is left is reserved, or on its way.
        """
        asked = self.shares.take(self, amount, now)
        if asked.verdict is not Verdict.GRANTED:
            raise refusal(self.told, asked, self.account, self.shares, is_budget=self.window is not None)


class Rate:
    """An amount a minute. `free` is leased to this worker until `until`; it is less than 0 when more was used."""

    __slots__ = ("account", "at", "free", "per_minute", "shares", "told", "until")

    def __init__(self, shares: Shares, account: str, told: str, per_minute: int) -> None:
        self.shares, self.account, self.told, self.per_minute = shares, account, told, per_minute
        self.at = -1
        self.free = 0
        self.until = 0.0

    def need(self, amount: int, now: float) -> None:
        """Get more, or refuse in words.

        Raises:
            Limited: `wait_s` says when there will be enough.
        """
        asked = self.shares.draw(self, amount, now)
        if asked.verdict is not Verdict.GRANTED:
            raise refusal(self.told, asked, self.account, self.shares, is_budget=False)


def refusal(told: str, asked: Asked, account: str, shares: Shares, *, is_budget: bool) -> LimitReached:
    """The sentence for whom a limit holds back."""
    match asked.verdict:
        case Verdict.SPENT:
            return LimitReached(
                f"{told} is used up, or holds less than this request may cost.",
                hint="Ask for a smaller answer or a higher budget, or wait for the next window.",
            )
        case Verdict.ASKED:
            return Starved(f"{told} is being looked up.", lambda back: shares.call(account, back))
        case Verdict.DOWN:
            return Limited(f"{told} cannot be looked up: the limits' Redis does not answer.", asked.wait_s)
        case _ if is_budget:
            return Limited(f"{told} is reserved for requests that are under way.", asked.wait_s)
        case _:
            return Limited(f"{told} is reached.", asked.wait_s)


class Chain(NamedTuple):
    """All that has to admit one user's request with one key."""

    budgets: tuple[Quota, ...]
    requests: tuple[Rate, ...]
    tokens: tuple[Rate, ...]
    at_once: tuple[Quota, ...]
    is_paced: bool
    """Whether there is more than budgets."""


class Turn:
    """When the next window begins, for all meters of a worker. `generation` counts how often one has begun."""

    __slots__ = ("at", "generation", "now")

    def __init__(self, now: Callable[[float], None]) -> None:
        self.at = float("inf")
        self.generation = 0
        self.now = now
        """To be called with the time when `at` has passed."""


class Ticket:
    """What was taken for one request, to be settled once: tokens, and nano-USD, in a generation of windows."""

    __slots__ = ("chain", "generation", "nano", "tokens")

    def __init__(self, chain: Chain, tokens: int, nano: int, generation: int) -> None:
        self.chain, self.tokens, self.nano, self.generation = chain, tokens, nano, generation


NO_CHAIN = Chain((), (), (), (), is_paced=False)
NO_TICKET = Ticket(NO_CHAIN, 0, 0, 0)
"""Of a request that nothing limits."""


_CHAINS = 4096
"""Users that a key's meter knows by itself; others are found again."""


class Users(Protocol):
    """Finds the limits of end users."""

    def chain(self, base: Chain, user: str) -> Chain:
        """`base` with what holds for `user` beside it."""
        ...


class Meter:
    """What one key may use, in this worker. Every ticket is settled exactly once."""

    __slots__ = ("_base", "_chains", "_turn", "_users")

    def __init__(self, base: Chain, turn: Turn, users: Users | None = None) -> None:
        self._base = base
        self._turn = turn
        self._users = users
        self._chains: dict[str, Chain] = {}

    def admit(self, user: str, tokens: int, nano: int, now: float) -> Ticket:
        """Take a request, so many tokens and so much money; all of it or nothing. `now` is monotonic, in seconds.

        Raises:
            LimitReached: the sentence says which limit of whom; a `Limited` knows when to come again.
        """
        users = self._users
        chain = self._base if users is None or not user else self._chains.get(user) or self._chain(users, user)
        if chain is NO_CHAIN:
            return NO_TICKET
        turn = self._turn
        if now >= turn.at:
            turn.now(now)
        try:
            for quota in chain.budgets:
                if quota.free < nano:
                    quota.need(nano, now)
            if chain.is_paced:
                _pace(chain, tokens, now)
        except Starved:
            _ask_all(chain, tokens, nano, now)
            raise
        # Nobody has refused, and nothing has come between: this is one step of one thread.
        for quota in chain.budgets:
            quota.free -= nano
        return Ticket(chain, tokens, nano, turn.generation)

    def settle(self, ticket: Ticket, tokens: int | None, nano: int | None) -> None:
        """Put what was really used in the place of the guess; None keeps the guess."""
        if ticket is NO_TICKET:
            return
        chain, generation = ticket.chain, ticket.generation
        used = ticket.nano if nano is None else nano
        back = ticket.nano - used
        is_late = generation != self._turn.generation
        for quota in chain.budgets:
            if is_late and quota.turned > generation:
                continue  # its window is over: the server counts it there
            quota.free += back
            quota.cells[quota.place] += used
        if chain.is_paced:
            _leave(chain, ticket.tokens, tokens)

    def _chain(self, users: Users, user: str) -> Chain:
        made = users.chain(self._base, user)
        if len(self._chains) >= _CHAINS:
            self._chains.clear()
        self._chains[user] = made
        return made

    def forget(self) -> None:
        """Look users up anew."""
        self._chains.clear()


def _pace(chain: Chain, tokens: int, now: float) -> None:
    """Take of rates and places, or of none of them; of a rate at most what a minute allows, which is all it holds."""
    for rate in chain.requests:
        if rate.free < 1 or now >= rate.until:
            rate.need(1, now)
    for rate in chain.tokens:
        wanted = min(tokens, rate.per_minute)
        if rate.free < wanted or now >= rate.until:
            rate.need(wanted, now)
    for quota in chain.at_once:
        if quota.free < 1:
            quota.need(1, now)
    for rate in chain.requests:
        rate.free -= 1
    for rate in chain.tokens:
        rate.free -= min(tokens, rate.per_minute)
    for quota in chain.at_once:
        quota.free -= 1


def _ask_all(chain: Chain, tokens: int, nano: int, now: float) -> None:
    """One lease is on its way: ask for the others too, so that all come together."""
    lacking = [quota.need for quota in chain.budgets if quota.free < nano]
    needs = [(need, nano) for need in lacking]
    needs += [(rate.need, 1) for rate in chain.requests if rate.free < 1 or now >= rate.until]
    for rate in chain.tokens:
        wanted = min(tokens, rate.per_minute)
        if rate.free < wanted or now >= rate.until:
            needs.append((rate.need, wanted))
    needs += [(quota.need, 1) for quota in chain.at_once if quota.free < 1]
    for need, amount in needs:
        with suppress(LimitReached):
            need(amount, now)


def _leave(chain: Chain, guessed: int, used: int | None) -> None:
    """Give back the places, and the tokens that were not used; None keeps what was taken."""
    if used is not None:
        for rate in chain.tokens:
            rate.free += min(guessed, rate.per_minute) - used
    for quota in chain.at_once:
        quota.free += 1
        if quota.free > quota.keep:
            quota.shares.release(quota)
