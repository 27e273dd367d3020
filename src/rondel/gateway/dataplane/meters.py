"""The meters of a snapshot's keys, and the windows of their budgets."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from rondel.clock import Clock
from rondel.gateway.dataplane.ledger import Ledger
from rondel.gateway.dataplane.limits import NO_CHAIN, Chain, Meter, Quota, Rate, Shares, Turn
from rondel.gateway.models import Allowance, Limits, OnLimitsDown, Snapshot
from rondel.gateway.rules import account_of
from rondel.identity.models import EACH_USER, OwnerKind
from rondel.money import usd
from rondel.plugins import Plugins
from rondel.spend.budgets.models import Window
from rondel.spend.budgets.rules import DAY_S, began, day_of

FORGET_S = 1800.0
"""An end user who has not called for between one and two of these is looked up anew."""
MOST_USERS = 20_000
"""End users of one project's environment that a worker keeps in mind; then those go who have not called for longest."""
_IN = {Window.DAY: "a day", Window.WEEK: "a week", Window.MONTH: "a month", Window.TOTAL: "in all"}


class Keeping(Shares, Protocol):
    """Shares, and what a worker does for them now and then."""

    sharers: int

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more end users."""
        ...

    def keep(self, now: float) -> None:
        """Give back what lies idle."""
        ...

    def heal(self, quota: Quota) -> None:
        """The server knows of more that is spent: `quota.base`."""
        ...

    def forget(self, gone: Quota) -> None:
        """A limit that is no more."""
        ...

    def close(self) -> None:
        """Give back everything."""
        ...


class Remote(Keeping, Protocol):
    """Shares limits with other machines; made with this machine's ledger, and a name that no other machine has."""

    def __init__(
        self, dsn: str, ledger: Ledger, *, machine: str, loop: asyncio.AbstractEventLoop, on_down: OnLimitsDown
    ) -> None: ...


LIMITS: Plugins[Remote] = Plugins("rondel.limits")


class Meters:
    """All limits that one worker knows; the objects stay while snapshots change, so what is under way stays counted."""

    def __init__(self, shares: Keeping, clock: Clock, *, most_users: int = MOST_USERS) -> None:
        self.most_users = most_users
        self._shares, self._clock = shares, clock
        self.turn = Turn(self._look)
        self._day = day_of(clock.now_ns() / 1e9)
        self._spent: Mapping[str, tuple[int, int]] = {}
        self._quotas: dict[str, Quota] = {}
        self._rates: dict[str, Rate] = {}
        self._used: set[str] = set()
        self._users: list[_Users] = []
        self._meters: dict[str, Meter] = {}
        self._forget_at = clock.monotonic() + FORGET_S
        self._look(clock.monotonic())

    def build(self, snapshot: Snapshot) -> dict[str, Meter]:
        """A meter for every key of the snapshot, by its id."""
        self._shares.sharers = snapshot.workers
        self._spent = {spent.account: (spent.began, spent.nano) for spent in snapshot.spent}
        before, self._used = self._used, set()
        self._users = []
        shared: dict[tuple[OwnerKind, str, str, str], Chain] = {}
        named: dict[tuple[str, str], dict[str, Limits]] = {}
        for owner in snapshot.owners:
            if owner.kind is OwnerKind.USER:
                named.setdefault((owner.project_id, owner.environment), {})[owner.id] = owner.limits
            else:
                told = f"team {owner.name!r}" if owner.kind is OwnerKind.TEAM else "the project"
                place = (owner.project_id, owner.environment)
                chain = self.chain(owner.kind, place, owner.id, told, owner.limits)
                shared[owner.kind, *place, owner.id] = chain
        users = {place: _Users(self, place, limits) for place, limits in named.items()}
        self._users = list(users.values())
        meters: dict[str, Meter] = {}
        for key in snapshot.keys:
            place = (key.project_id, key.environment)
            own = self.chain(OwnerKind.KEY, place, key.id, f"key {key.name!r}" if key.name else "the key", key.limits)
            team = shared.get((OwnerKind.TEAM, *place, key.team_id), NO_CHAIN)
            project = shared.get((OwnerKind.PROJECT, *place, ""), NO_CHAIN)
            meters[key.id] = Meter(join(own, team, project), self.turn, users.get(place))
        self._drop(before - self._used)
        self._meters = meters
        return meters

    def chain(self, kind: OwnerKind, place: tuple[str, str], owner: str, told: str, limits: Limits) -> Chain:
        """What one owner has to say."""
        account = account_of(kind, place, owner)
        rpm, tpm, at_once = limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent
        return Chain(
            tuple(self._budget(account, told, budget) for budget in limits.budgets),
            () if rpm is None else (self._rate(f"{account}/requests", f"{rpm} requests a minute of {told}", rpm),),
            () if tpm is None else (self._rate(f"{account}/tokens", f"{tpm} tokens a minute of {told}", tpm),),
            () if at_once is None else (self._at_once(account, told, at_once),),
            is_paced=not (rpm is tpm is at_once is None),
        )

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more end users."""
        return self._shares.is_full

    def keep(self, now: float) -> None:
        """To be called several times a second: look at the clock, give back what lies idle, forget who is gone."""
        self._look(now)
        self._shares.keep(now)
        if now >= self._forget_at:
            self._forget_at = now + FORGET_S
            self.age(*self._users)

    def age(self, *all_users: "_Users") -> None:
        """Forget who has not called since the last time; what they spent stays in the ledger."""
        for meter in self._meters.values():
            meter.forget()
        for users in all_users:
            self._drop(users.age())

    def close(self) -> None:
        """The worker ends."""
        self._shares.close()

    def _budget(self, account: str, told: str, budget: Allowance) -> Quota:
        name = f"{account}/{budget.window.value}"
        sentence = f"The budget of {usd(budget.amount_nano)} {_IN[budget.window]} of {told}"
        return self._quota(name, sentence, budget.amount_nano, budget.window)

    def _at_once(self, account: str, told: str, limit: int) -> Quota:
        return self._quota(f"{account}/at once", f"The limit of {limit} requests at once of {told}", limit, None)

    def _quota(self, name: str, told: str, capacity: int, window: Window | None) -> Quota:
        self._used.add(name)
        quota = self._quotas.get(name)
        if quota is None:
            quota = self._quotas[name] = Quota(self._shares, name, told, capacity, window)
            quota.begin(self._epoch(quota), 0)
        quota.told, quota.capacity = told, capacity
        began_at, spent = self._spent.get(name, (0, 0))
        if quota.window and began_at == quota.epoch and spent > quota.base:
            quota.base = spent
            if quota.is_open:
                self._shares.heal(quota)
        return quota

    def _rate(self, name: str, told: str, per_minute: int) -> Rate:
        self._used.add(name)
        rate = self._rates.get(name)
        if rate is None or rate.per_minute != per_minute:
            rate = self._rates[name] = Rate(self._shares, name, f"The limit of {told}", max(1, per_minute))
        return rate

    def _epoch(self, quota: Quota) -> int:
        return began(quota.window, self._day) if quota.window else 0

    def _drop(self, names: set[str]) -> None:
        for name in names:
            self._rates.pop(name, None)
            quota = self._quotas.pop(name, None)
            if quota is not None:
                self._shares.forget(quota)

    def _look(self, now: float) -> None:
        """What day is it, and when is the next one? Windows never open again: a clock that goes back waits."""
        seconds = self._clock.now_ns() / 1e9
        day = day_of(seconds)
        if day > self._day:
            self._day = day
            self.turn.generation += 1
            for quota in self._quotas.values():
                epoch = self._epoch(quota)
                if epoch != quota.epoch:
                    quota.begin(epoch, self.turn.generation)
        self.turn.at = now + (self._day + 1) * DAY_S - seconds


class _Users:
    """End users of one project's environment, as they come."""

    def __init__(self, meters: Meters, place: tuple[str, str], limits: Mapping[str, Limits]) -> None:
        self._meters, self._place = meters, place
        self._each = limits.get(EACH_USER, Limits())
        self._own = {user: fill(own, self._each) for user, own in limits.items() if user != EACH_USER}
        self._young: dict[str, Chain] = {}
        self._old: dict[str, Chain] = {}

    def chain(self, base: Chain, user: str) -> Chain:
        found = self._young.get(user)
        if found is None:
            if len(self._young) >= self._meters.most_users:
                self._meters.age(self)
            found = self._old.pop(user, None) or self._make(user)
            if found is not NO_CHAIN:
                self._young[user] = found
        return join(base, found)

    def _make(self, user: str) -> Chain:
        limits = self._own.get(user)
        if limits is None:
            if self._each == Limits():
                return NO_CHAIN
            if self._meters.is_full:
                return self._meters.chain(OwnerKind.USER, self._place, "", "all further users", self._each)
        return self._meters.chain(OwnerKind.USER, self._place, user, f"user {user!r}", limits or self._each)

    def age(self) -> set[str]:
        """Forget who has not called for long; returns the names of their limits."""
        gone, self._old, self._young = self._old, self._young, {}
        return {part.account for chain in gone.values() for parts in chain[:4] for part in parts}


def join(*chains: Chain) -> Chain:
    """All of them, the first one first."""
    given = [chain for chain in chains if chain != NO_CHAIN]
    if len(given) < 2:
        return given[0] if given else NO_CHAIN
    budgets = tuple(quota for chain in given for quota in chain.budgets)
    requests = tuple(rate for chain in given for rate in chain.requests)
    tokens = tuple(rate for chain in given for rate in chain.tokens)
    at_once = tuple(quota for chain in given for quota in chain.at_once)
    return Chain(budgets, requests, tokens, at_once, is_paced=any(chain.is_paced for chain in given))


def fill(own: Limits, each: Limits) -> Limits:
    """What a user has of their own, and for the rest what each user has."""
    windows = {budget.window for budget in own.budgets}
    budgets: Sequence[Allowance] = [*own.budgets, *(one for one in each.budgets if one.window not in windows)]
    return Limits(
        requests_per_minute=each.requests_per_minute if own.requests_per_minute is None else own.requests_per_minute,
        tokens_per_minute=each.tokens_per_minute if own.tokens_per_minute is None else own.tokens_per_minute,
        concurrent=each.concurrent if own.concurrent is None else own.concurrent,
        budgets=tuple(budgets),
    )
